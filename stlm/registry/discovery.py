"""What is installed, from metadata alone: the entry points of the group ``stlm``, none of them imported."""

import importlib.metadata
from collections import defaultdict
from functools import cache, cached_property

import attrs

GROUP = "stlm"


@attrs.frozen(eq=False, slots=False)
class Entry:
    """One entry point: a kind, a name (``prefix*`` for a family), and where its class is."""

    kind: str
    name: str
    point: importlib.metadata.EntryPoint

    @property
    def target(self) -> str:
        """``module:Class``."""
        return self.point.value

    @property
    def module(self) -> str:
        """The module that holds the class."""
        return self.point.module

    @property
    def is_family(self) -> bool:
        """Whether it stands for every name with its prefix."""
        return self.name.endswith("*")

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
    if distribution is None:
        return "an unknown package", "unknown"
    metadata = distribution.metadata
    return metadata["Name"], metadata["Version"]


@attrs.frozen(eq=False)
class Installed:
    """All entries by kind and name; two entries under one name come from two distributions."""

    entries: dict[str, dict[str, list[Entry]]]
    malformed: tuple[importlib.metadata.EntryPoint, ...] = ()

    def kinds(self) -> list[str]:
        """The kinds that anything is installed for."""
        return sorted(self.entries)


def discover() -> Installed:
    """Scan the installed distributions."""
    entries: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    malformed = []
    for point in importlib.metadata.entry_points(group=GROUP):
        kind, dot, name = point.name.partition(".")
        if not (dot and kind and name):
            malformed.append(point)
            continue
        entries[kind][name].append(Entry(kind, name, point))
    return Installed({kind: dict(names) for kind, names in entries.items()}, tuple(malformed))
