"""Components by kind and name: found in metadata, imported when chosen, checked when loaded."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

from stlm.registry.component import identity_of
from stlm.registry.discovery import Entry, Installed, disabled_here, discover, how_disabled, normal
from stlm.registry.importing import import_entry, import_with_patience
from stlm.spec.components import Found, NotFoundError
from stlm.spec.declaration import declaration_of
from stlm.spec.diagnostics import Code
from stlm.spec.suggest import nearest


class Registry:
    """The components that are installed."""

    def __init__(self, installed: Installed | None = None) -> None:
        self.installed = discover() if installed is None else installed
        self._loaded: dict[Entry, type | NotFoundError] = {}

    def __reduce__(self) -> tuple[Callable[..., "Registry"], tuple[Any, ...]]:
        """Be pickled by what it holds; that of this environment by its name, and so as that of the environment there.

        A spec that knows its registry may so be sent to another process.
        """
        return (installed, ()) if self is installed() else (Registry, (self.installed,))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Registry":
        """Be copied as itself: nothing in it changes but what is loaded already."""
        return self

    def names(self, kind: str) -> list[str]:
        """List the names of a kind, families with their star, from metadata alone."""
        return sorted(name for name in self.installed.entries.get(kind, {}) if name != "*")

    def entries(self, kind: str | None = None) -> Iterator[Entry]:
        """Yield the entries of a kind, or all."""
        for one in [kind] if kind else self.installed.kinds():
            for name in sorted(self.installed.entries.get(one, {})):
                yield from self.installed.entries[one][name]

    def only(self, plugins: set[str]) -> "Registry":
        """Give a registry of what some distributions brought, for pages that say the same wherever they are written."""
        kept: dict[str, dict[str, list[Entry]]] = {}
        for entry in self.entries():
            if entry.distribution in plugins:
                kept.setdefault(entry.kind, {}).setdefault(entry.name, []).append(entry)
        return Registry(Installed(kept))

    def find(self, kind: str, name: str) -> Found:
        """Return the component that a name stands for: an alias, a family's member, or ``name@distribution``.

        Raises `NotFoundError` where there is none, where two distributions claim it, or where it cannot be loaded.
        """
        bare, at, distribution = name.rpartition("@")
        candidates = [e for e in self._candidates(kind, bare) if at and normal(e.distribution) == normal(distribution)]
        if not candidates:  # no such distribution: the sign may be part of a family's name, as in a path
            bare, at, candidates = name, "", self._candidates(kind, name)
        if not candidates:
            raise self._unknown(kind, name)
        if len(candidates) > 1:
            who = " and ".join(str(e) for e in candidates)
            choose = tuple(f"write `{bare}@{e.distribution}`" for e in candidates)
            raise NotFoundError(Code.CONFLICT, f"{kind} `{bare}` is claimed twice: by {who}", choose)
        entry = candidates[0]
        cls = self.load(entry)
        identity = identity_of(cls)
        assert identity is not None
        canonical = bare if identity.is_family else identity.name
        ambiguous = at and len(self._candidates(kind, bare)) > 1
        member = bare.removeprefix(identity.prefix) if identity.is_family else ""
        return Found(kind, f"{canonical}@{entry.distribution}" if ambiguous else canonical, cls, entry, member)

    def all_of(self, kind: str) -> Iterable[Found]:
        """Load and yield each component of a kind that can be loaded once, stlm's own first, aliases left out."""
        seen: set[type] = set()
        for entry in sorted(self.entries(kind), key=lambda entry: not entry.is_own):
            try:
                cls = self.load_with_patience(entry)
            except NotFoundError:
                continue
            identity = identity_of(cls)
            if identity is not None and cls not in seen:
                seen.add(cls)
                yield Found(kind, identity.name, cls, entry)

    def load(self, entry: Entry) -> type:
        """Import the class of an entry and check that it is what the entry says; raises `NotFoundError`."""
        return self._load(entry, import_entry)

    def load_with_patience(self, entry: Entry) -> type:
        """Load one that nobody chose, for a message or a listing: a package that never gets done is given up."""
        return self._load(entry, import_with_patience)

    def _load(self, entry: Entry, importing: Callable[[Entry], type]) -> type:
        if entry not in self._loaded:
            try:
                self._loaded[entry] = importing(entry)
            except NotFoundError as error:
                self._loaded[entry] = error
        loaded = self._loaded[entry]
        if isinstance(loaded, NotFoundError):
            raise loaded
        return loaded

    def _candidates(self, kind: str, name: str) -> list[Entry]:
        names = self.installed.entries.get(kind, {})
        if name in names and not name.endswith("*"):
            return names[name]
        families = [n for n in names if n.endswith("*") and name.startswith(n[:-1]) and len(name) > len(n) - 1]
        for family in sorted(families, key=len, reverse=True):  # the longest prefix is the closest kin
            taken = [e for e in names[family] if self._accepts(e, name)]
            if taken:
                return taken
        return []

    def _accepts(self, entry: Entry, name: str) -> bool:
        load = self.load_with_patience if entry.name == "*" else self.load  # of any name, nobody said that it is meant
        try:
            accepts = getattr(load(entry), "accepts", None)
        except NotFoundError:
            return entry.name != "*"  # a prefix is claim enough to report why it cannot be loaded
        return accepts is None or bool(accepts(name))

    def allowed(self, kind: str) -> str:
        """Say in words which names a kind has, and what a family that takes any name ``expects`` of one."""
        names = [f"`{name}`" for name in self.names(kind)]
        shown = names[:40] + (["…"] if len(names) > 40 else [])
        return ", ".join([*shown, *self._expected(kind)]) or "nothing of this kind is installed"

    def _expected(self, kind: str) -> Iterator[str]:
        for cls in self._loadable(self.installed.entries.get(kind, {}).get("*", ())):
            expects = getattr(cls, "expects", None)
            if expects:
                yield str(expects)

    def _unknown(self, kind: str, name: str) -> NotFoundError:
        off = self._disabled(kind, name)
        if off is not None:
            message = f"there is no {kind} `{name}` while {off.distribution}, which brings it, is disabled"
            return NotFoundError(Code.PLUGIN, message, (f"{how_disabled()} disables it",))
        help_lines = (
            self._told_by_family(kind, name)
            or self._without_family(kind, name)
            or self._meant(kind, f"`{name}`", str)  # a name that others have for it says more than letters in common
            or nearest(name, self.names(kind))
            or self._meant(kind, name, _letters)
        )
        help_lines = (*help_lines, f"allowed: {self.allowed(kind)}")
        return NotFoundError(Code.UNKNOWN_NAME, f"there is no {kind} `{name}`", help_lines)

    def _disabled(self, kind: str, name: str) -> Entry | None:
        """Find the entry that would stand for a name if its package were not disabled."""
        names = self.installed.disabled.get(kind, {})
        bare, _, package = name.rpartition("@")
        exact = [*names.get(name, ()), *(e for e in names.get(bare, ()) if normal(e.distribution) == normal(package))]
        families = (e for n in names if len(n) > 1 and n.endswith("*") and name.startswith(n[:-1]) for e in names[n])
        return next(iter(exact), None) or next(families, None)

    def _told_by_family(self, kind: str, name: str) -> tuple[str, ...]:
        """Ask the families whose prefix a name has what was meant by it."""
        families = (e for e in self.entries(kind) if e.is_family and name.startswith(e.name[:-1]))
        ask = (getattr(cls, "meant", None) for cls in self._loadable(families))
        return tuple(line for meant in ask if meant is not None for line in meant(name))

    def _loadable(self, entries: Iterable[Entry]) -> Iterator[type]:
        """Load entries, and pass over those that cannot be loaded."""
        for entry in entries:
            with suppress(NotFoundError):
                yield self.load_with_patience(entry)

    def _without_family(self, kind: str, name: str) -> tuple[str, ...]:
        """Say that nobody brings names with the prefix of this one, where that is so: others resemble it by chance."""
        prefix, colon, _ = name.partition(":")
        begin = prefix + colon
        if not colon or any(one.startswith(begin) for one in self.names(kind)):
            return ()
        families = [one[:-1] for one in self.names(kind) if one.endswith(":*")]
        return (*nearest(begin, families), f"no installed package brings a {kind} whose name begins with `{begin}`")

    def _meant(self, kind: str, name: str, read: Callable[[str], str]) -> tuple[str, ...]:
        """Find the components whose docs, ``read`` as the name is, speak of a name that the field has for them."""
        wanted = read(name)
        if len(wanted) < 3:
            return ()
        speaking = (f for f in self.all_of(kind) if wanted in read(f.cls.__doc__ or ""))
        return tuple(f"did you mean `{f.selector}`? {declaration_of(f.cls).doc}" for f in speaking)


def _letters(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def installed() -> Registry:
    """The registry of this Python environment, without the plugins that it disables; scanned once a process."""
    return _without(disabled_here())


def look_again() -> None:
    """Let the registry of this environment be scanned anew when it is next asked for: something was installed."""
    _without.cache_clear()


@cache
def _without(disabled: str) -> Registry:
    return Registry(discover(disabled))
