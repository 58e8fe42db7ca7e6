"""Packages as a whole: which components one brings, and what is wrong with it before any of them is looked at."""

import importlib.metadata
from pathlib import Path

from stlm.registry import identity_of
from stlm.registry.discovery import Entry, how_disabled, normal, package_of
from stlm.registry.manager import Registry, installed
from stlm.registry.version import mismatch
from stlm.spec import UsageError
from stlm.spec.components import NotFoundError
from stlm.spec.suggest import nearest
from stlm.testing.checking import Outcome

OF_ALL = {
    "contract": "It was written for a version of the plugin contract that this stlm serves.",
    "entry-points": "Its entry points can be read, each is named by a kind, a dot and a name, and no other installed "
    "package has that name.",
}
"""The checks of a whole package."""


def faults_of_package(package: str, registry: Registry | None = None) -> list[Outcome]:
    """Tell what is wrong with a distribution as a whole; its components are of no use then."""
    registry = registry or installed()
    mine = _entries(package, registry)
    faults = []
    fits = mismatch(mine[0].contracts, mine[0].distribution) if mine and not mine[0].is_own else None
    if fits is not None:
        faults.append(("contract", f"it {fits[0]}; {fits[1]}"))
    if any(normal(name) == normal(package) for name in registry.installed.unreadable):
        faults.append(("entry-points", "its entry points cannot be read: entry_points.txt is no list of entries"))
    for point in registry.installed.malformed:
        if normal(package_of(point)) == normal(package):
            faults.append(("entry-points", f"its entry `{point.name}` means nothing: an entry is KIND.NAME"))
    return [Outcome("package", package, check, "failed", why) for check, why in faults]


def contested(package: str, registry: Registry | None = None) -> list[Outcome]:
    """Tell that a distribution has names which another one has too; its components can be looked at all the same.

    Of stlm that is not told: whoever takes a name of its own is told of it.
    """
    registry = registry or installed()
    named = {}
    for entry in (entry for entry in _entries(package, registry) if not entry.is_own):
        others = [one for one in registry.installed.entries[entry.kind][entry.name] if one is not entry]
        if others:
            who = " and ".join(one.distribution for one in others)
            named[f"{who} has {entry.kind} `{entry.name}` too"] = f"`{entry.name}@{entry.distribution}`"
    if not named:
        return []
    why = (
        f"{', '.join(named)}: where both are installed, a spec that says no more than the name is refused, and must "
        f"say whose it is, as {next(iter(named.values()))}"
    )
    return [Outcome("package", package, "entry-points", "failed", why)]


def components_of_package(package: str, registry: Registry | None = None) -> list[tuple[str, str]]:
    """List the components of a distribution, kind and name, each once.

    A name that another package claims too is given as ``name@distribution``. Raises `UsageError` where there is none.
    """
    registry = registry or installed()
    found: dict[str, tuple[str, str]] = {}
    for entry in _entries(package, registry):
        found.setdefault(f"{entry.kind} {entry.target}", (entry.kind, _name(entry, registry)))
    if not found:
        raise UsageError(_why_none(package, registry))
    return sorted(found.values())


def _entries(package: str, registry: Registry) -> list[Entry]:
    return [entry for entry in registry.entries() if normal(entry.distribution) == normal(package)]


def _name(entry: Entry, registry: Registry) -> str:
    """The name that the class says, of which the entry may be an alias; the entry's where it cannot be loaded."""
    try:
        identity = identity_of(registry.load_with_patience(entry))
    except NotFoundError:
        return entry.name
    assert identity is not None
    claimed = registry.installed.entries[entry.kind]
    name = identity.name if identity.name in claimed else entry.name
    return f"{name}@{entry.distribution}" if len(claimed[name]) > 1 else name


def _why_none(package: str, registry: Registry) -> str:
    """Say why a package brings no components: it is disabled, or has none, or is not there."""
    off = (e for names in registry.installed.disabled.values() for entries in names.values() for e in entries)
    if any(normal(entry.distribution) == normal(package) for entry in off):
        return f"`{package}` is not looked at: {how_disabled()} disables it"
    folder = Path(package)
    if (folder / "pyproject.toml").is_file():
        name = folder.resolve().name
        return (
            f"`{package}` is a folder; install it with `pip install -e {package}`, and check it by its name: `{name}`"
        )
    try:
        there = importlib.metadata.distribution(package).metadata["Name"]
    except (importlib.metadata.PackageNotFoundError, ValueError):
        pass
    else:
        return (
            f"`{there}` is installed and brings no component: its pyproject.toml has no entry under "
            "`[project.entry-points.stlm]`, or it was installed before it had one"
        )
    names = sorted({entry.distribution for entry in registry.entries()})
    hint = "; ".join((*nearest(package, names), f"installed: {', '.join(names)}"))
    return f"no package `{package}` that brings components is installed; {hint}"
