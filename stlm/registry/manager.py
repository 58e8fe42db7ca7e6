"""Components by kind and name: found in metadata, imported when chosen, checked when loaded."""

from collections.abc import Iterable, Iterator
from functools import cache

from stlm.registry.component import identity_of
from stlm.registry.contract import check_component
from stlm.registry.discovery import Entry, Installed, discover
from stlm.spec.components import Found, NotFoundError
from stlm.spec.declaration import declaration_of
from stlm.spec.diagnostics import Code
from stlm.spec.suggest import nearest


class Registry:
    """The components that are installed."""

    def __init__(self, installed: Installed | None = None) -> None:
        self.installed = discover() if installed is None else installed
        self._loaded: dict[Entry, type | NotFoundError] = {}

    def names(self, kind: str) -> list[str]:
        """List the names of a kind, families with their star, from metadata alone."""
        return sorted(name for name in self.installed.entries.get(kind, {}) if name != "*")

    def entries(self, kind: str | None = None) -> Iterator[Entry]:
        """Yield the entries of a kind, or all."""
        for one in [kind] if kind else self.installed.kinds():
            for name in sorted(self.installed.entries.get(one, {})):
                yield from self.installed.entries[one][name]

    def find(self, kind: str, name: str) -> Found:
        """Return the component that a name stands for: an alias, a family's member, or ``name@distribution``.

        Raises `NotFoundError` where there is none, where two distributions claim it, or where it cannot be loaded.
        """
        bare, at, distribution = name.rpartition("@")
        candidates = [
            e for e in self._candidates(kind, bare) if at and _normal(e.distribution) == _normal(distribution)
        ]
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
        """Load and yield every component of a kind that can be loaded, each once, aliases left out."""
        seen: set[type] = set()
        for entry in self.entries(kind):
            try:
                cls = self.load(entry)
            except NotFoundError:
                continue
            identity = identity_of(cls)
            if identity is not None and cls not in seen:
                seen.add(cls)
                yield Found(kind, identity.name, cls, entry)

    def load(self, entry: Entry) -> type:
        """Import the class of an entry and check that it is what the entry says; raises `NotFoundError`."""
        if entry not in self._loaded:
            try:
                self._loaded[entry] = _import(entry)
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
        try:
            accepts = getattr(self.load(entry), "accepts", None)
        except NotFoundError:
            return entry.name != "*"  # a prefix is claim enough to report why it cannot be loaded
        return accepts is None or bool(accepts(name))

    def allowed(self, kind: str) -> str:
        """Say in words which names a kind has, and what a family that takes any name ``expects`` of one."""
        names = [f"`{name}`" for name in self.names(kind)]
        shown = names[:40] + (["…"] if len(names) > 40 else [])
        return ", ".join([*shown, *self._expected(kind)]) or "nothing of this kind is installed"

    def _expected(self, kind: str) -> Iterator[str]:
        for entry in self.installed.entries.get(kind, {}).get("*", ()):
            try:
                expects = getattr(self.load(entry), "expects", None)
            except NotFoundError:
                continue
            if expects:
                yield str(expects)

    def _unknown(self, kind: str, name: str) -> NotFoundError:
        help_lines = nearest(name, self.names(kind)) or self._meant(kind, name)
        help_lines = (*help_lines, f"allowed: {self.allowed(kind)}")
        return NotFoundError(Code.UNKNOWN_NAME, f"there is no {kind} `{name}`", help_lines)

    def _meant(self, kind: str, name: str) -> tuple[str, ...]:
        """Find the components whose docs speak of a name that the field has for them (swiglu: `silu_ffn`)."""
        wanted = _letters(name)
        if len(wanted) < 3:
            return ()
        speaking = (f for f in self.all_of(kind) if wanted in _letters(f.cls.__doc__ or ""))
        return tuple(f"did you mean `{f.selector}`? {declaration_of(f.cls).doc}" for f in speaking)


def _letters(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _import(entry: Entry) -> type:
    """Load an entry point, whatever its package does on import, and check the class against the entry."""
    try:
        cls = entry.point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may do anything, `sys.exit` included; it must not take down the rest
        message = f"{entry} cannot be imported: {type(error).__name__}: {error}"
        raise NotFoundError(Code.PLUGIN, " ".join(message.split()), (f"mend or remove {entry.distribution}",)) from None
    try:
        faults = check_component(cls, entry)
    except Exception as error:  # an annotation that means nothing, say
        faults = [f"its declaration cannot be read: {type(error).__name__}: {error}"]
    if faults:
        raise NotFoundError(Code.PLUGIN, f"{entry} breaks the contract: {faults[0]}", tuple(faults[1:]))
    assert isinstance(cls, type)
    return cls


@cache
def installed() -> Registry:
    """The registry of this Python environment, scanned once a process."""
    return Registry()
