"""What is installed, from metadata alone: the entry points of the group ``stlm``, none of them imported."""

import importlib.metadata
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache, cached_property

import attrs

from stlm.registry.version import PREFIX
from stlm.spec.errors import UsageError

GROUP = "stlm"
DISABLE = "STLM_DISABLE_PLUGINS"
ALL = "all"


@attrs.frozen(eq=False, slots=False)
class Entry:
    """One entry point: a kind, a name (``prefix*`` for a family), where its class is, and what its package needs."""

    kind: str
    name: str
    point: importlib.metadata.EntryPoint
    contracts: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """``module:Class``."""
        return self.point.value

    @property
    def module(self) -> str:
        """The module that holds the class."""
        return self.target.partition(":")[0].strip()

    @property
    def is_family(self) -> bool:
        """Whether it stands for every name with its prefix."""
        return self.name.endswith("*")

    @property
    def is_own(self) -> bool:
        """Whether its class is a part of stlm itself."""
        return self.target.startswith(f"{GROUP}.")

    @cached_property
    def distribution(self) -> str:
        """The name of the package that brought it. Reads the package's metadata: only for messages and listings."""
        return _name_and_version(self.point.dist)[0]

    @cached_property
    def version(self) -> str:
        """The version of that package."""
        return _name_and_version(self.point.dist)[1]

    def __str__(self) -> str:
        return f"`{self.kind}.{self.name}` of {self.distribution} ({self.target})"


@cache
def _name_and_version(distribution: importlib.metadata.Distribution | None) -> tuple[str, str]:
    """Read a package's metadata once, however many components it brings."""
    metadata = distribution.metadata if distribution is not None else None
    if metadata is None or "Name" not in metadata:  # what is left of a package that was removed by hand
        return "an unknown package", "unknown"
    return metadata["Name"], metadata["Version"]


def package_of(point: importlib.metadata.EntryPoint) -> str:
    """Name the package that brought an entry point."""
    return _name_and_version(point.dist)[0]


Entries = dict[str, dict[str, list[Entry]]]


@attrs.frozen(eq=False)
class Installed:
    """All entries by kind and name; two entries under one name come from two distributions."""

    entries: Entries
    malformed: tuple[importlib.metadata.EntryPoint, ...] = ()
    unreadable: tuple[str, ...] = ()
    """Packages whose entry points cannot be read at all."""
    disabled: Entries = attrs.field(factory=dict)
    """What `STLM_DISABLE_PLUGINS` keeps out."""

    def kinds(self) -> list[str]:
        """The kinds that anything is installed for."""
        return sorted(self.entries)


def discover(disabled: str = "") -> Installed:
    """Scan the installed distributions, and set those apart that ``disabled`` lists: by commas, or ``all``.

    Raises `UsageError` where it lists stlm itself.
    """
    points, unreadable = _points()
    contracts: Mapping[object, list[str]] = defaultdict(list)
    for point in points:
        if point.name.startswith(PREFIX):
            contracts[point.dist].append(point.name.removeprefix(PREFIX))
    found: list[Entry] = []
    malformed = []
    for point in points:
        kind, dot, name = point.name.partition(".")
        if not (dot and kind and name):
            malformed.append(point)
        elif not point.name.startswith(PREFIX):
            found.append(Entry(kind, name, point, tuple(contracts.get(point.dist, ()))))
    off = _named(disabled)
    kept = [entry for entry in found if not _is_off(entry, off)]
    disabled_entries = _by_kind(entry for entry in found if _is_off(entry, off)) if off else {}
    return Installed(_by_kind(kept), tuple(malformed), tuple(unreadable), disabled_entries)


def _points() -> tuple[list[importlib.metadata.EntryPoint], list[str]]:
    """Read all entry points of the group, and name the packages of which they cannot be read."""
    try:
        return list(importlib.metadata.entry_points(group=GROUP)), []
    except Exception:  # one package's file is no list of entries, or no text: the others are read one by one
        found: dict[str, list[importlib.metadata.EntryPoint]] = {}
        unreadable = []
        for distribution in importlib.metadata.distributions():
            name, _ = _name_and_version(distribution)
            try:
                found.setdefault(normal(name), list(distribution.entry_points.select(group=GROUP)))
            except Exception:
                unreadable.append(name)
        return [point for points in found.values() for point in points], unreadable


def disabled_here() -> str:
    """Say which plugins the environment disables, as it was written; empty where none."""
    return os.environ.get(DISABLE, "").strip()


def normal(name: str) -> str:
    """Give a package's name in the one form by which names are compared."""
    return re.sub("[-_.]+", "-", name).lower()


def how_disabled() -> str:
    """Say what disables plugins, for a message."""
    return f"{DISABLE}={disabled_here()}" + (" (`--no-plugins`)" if disabled_here() == ALL else "")


def unknown_among(installed: Installed) -> list[str]:
    """List what is disabled by name and is not there: a typing error, or a package that was removed."""
    there = {normal(e.distribution) for names in installed.disabled.values() for es in names.values() for e in es}
    return sorted(_named(disabled_here()) - there - {ALL})


def _named(disabled: str) -> set[str]:
    off = {normal(name.strip()) for name in disabled.split(",") if name.strip()}
    if GROUP in off:
        raise UsageError(f"{DISABLE} names {GROUP} itself, which is no plugin; `{ALL}` disables everything else")
    return off


def _is_off(entry: Entry, off: set[str]) -> bool:
    if not off:
        return False
    package = normal(entry.distribution)
    return package in off or (ALL in off and package != GROUP)


def _by_kind(found: Iterable[Entry]) -> Entries:
    entries: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in found:
        entries[entry.kind][entry.name].append(entry)
    return {kind: dict(names) for kind, names in entries.items()}
