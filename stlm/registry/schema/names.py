"""The names of a kind, in the words of JSON Schema: those that may be written, and which of them choose a component."""

import re
from collections.abc import Iterable
from typing import Any

import attrs

from stlm.registry.component import identity_of
from stlm.registry.discovery import Entry
from stlm.registry.manager import Registry
from stlm.spec.components import NotFoundError
from stlm.spec.declaration import declaration_of

_SPECIAL = re.compile(r"([\\^$.|?*+()\[\]{}])")


@attrs.frozen
class Named:
    """A component of a kind, and the entries by which it is named: its own name first, then its aliases."""

    cls: type
    entries: tuple[Entry, ...]

    @property
    def entry(self) -> Entry:
        """The one under its own name."""
        return self.entries[0]


@attrs.frozen
class Names:
    """All that is known of the names of one kind; components that cannot be loaded have none."""

    kind: str
    registry: Registry
    components: tuple[Named, ...]

    def all(self) -> dict[str, Any]:
        """Say which names may be written: each with its sentence, a family's by their form, any with its package."""
        exact = [named for named in self.components if not named.entry.is_family]
        one_of: list[dict[str, Any]] = [
            {"const": entry.name, "description": declaration_of(named.cls).doc}
            for named in exact
            for entry in named.entries
            if not self._contested(entry)
        ]
        with_package = _either(
            f"{escaped(e.name)}@{_package(e)}" for named in exact for e in sorted(named.entries, key=_by_name)
        )
        if with_package:
            one_of.append({"pattern": f"^{with_package}$"})
        for named in self.components:
            if named.entry.is_family:
                expects = getattr(named.cls, "expects", None) or declaration_of(named.cls).doc
                one_of.append({"pattern": self._pattern(named), "description": str(expects)})
        return {"type": "string", "anyOf": one_of} if one_of else {"not": {}}

    def choosing(self, named: Named) -> dict[str, Any]:
        """Say which names choose one component."""
        said: dict[str, Any] = {"type": "string", "pattern": self._pattern(named)}
        if named.entry.is_family:
            nearer = [one for one in self.components if one is not named and self._is_nearer(one, named)]
            if nearer:
                said["not"] = {"anyOf": [{"pattern": self._pattern(one)} for one in nearer]}
        return said

    def _is_nearer(self, one: Named, family: Named) -> bool:
        """Whether a component takes names before a family does: an exact one, or a family with a longer prefix."""
        prefix = family.entry.name[:-1]
        if not any(entry.name.startswith(prefix) for entry in one.entries):
            return False
        return not one.entry.is_family or len(one.entry.name) > len(family.entry.name)

    def _pattern(self, named: Named) -> str:
        if named.entry.is_family:
            return self._form(named)
        forms = (
            f"{escaped(e.name)}{f'@{_package(e)}' if self._contested(e) else f'(?:@{_package(e)})?'}"
            for e in sorted(named.entries, key=_by_name)
        )
        return f"^{_either(forms)}$"

    def _form(self, named: Named) -> str:
        """Give the form of a family's names: what it says itself, or its prefix and something behind it."""
        form = getattr(named.cls, "pattern", None) or escaped(named.entry.name[:-1]) + r"[\s\S]+"
        return f"^(?:{form})@{_package(named.entry)}$" if self._contested(named.entry) else f"^(?:{form})$"

    def _contested(self, entry: Entry) -> bool:
        """Whether several packages claim a name, so that it must be said whose is meant."""
        return len(self.registry.installed.entries[self.kind][entry.name]) > 1


def names_of(kind: str, registry: Registry) -> Names:
    """Load the components of a kind, and see what they are called."""
    by_class: dict[type, list[Entry]] = {}
    for entry in registry.entries(kind):
        try:
            by_class.setdefault(registry.load_with_patience(entry), []).append(entry)
        except NotFoundError:
            continue
    named = [Named(cls, _own_name_first(cls, entries)) for cls, entries in by_class.items()]
    return Names(kind, registry, tuple(sorted(named, key=lambda one: (one.entry.is_family, one.entry.name))))


def escaped(text: str) -> str:
    """Write a text as a pattern that Python and ECMAScript read alike."""
    return _SPECIAL.sub(r"\\\1", text)


def _own_name_first(cls: type, entries: list[Entry]) -> tuple[Entry, ...]:
    identity = identity_of(cls)
    assert identity is not None
    return tuple(sorted(entries, key=lambda entry: (entry.name != identity.name, entry.name)))


def _by_name(entry: Entry) -> str:
    return entry.name


def _package(entry: Entry) -> str:
    """Give the pattern of a package's name, in which case does not count, and dash, dot and line are one."""
    return "".join(
        f"[{c.lower()}{c.upper()}]" if c.isalpha() else "[-_.]+" if c in "-_." else escaped(c)
        for c in entry.distribution
    )


def _either(patterns: Iterable[str]) -> str:
    found = list(patterns)
    return f"(?:{'|'.join(found)})" if found else ""
