"""Looking at components: each check of their kind, and what became of it."""

import contextlib
import socket
import tempfile
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch

from stlm.registry import identity_of
from stlm.registry.discovery import Entry, Installed
from stlm.registry.manager import Registry, installed
from stlm.spec import UsageError
from stlm.spec.suggest import nearest
from stlm.testing.bench import Bench
from stlm.testing.checking import Check, NotApplicableError, NotLoadedError, Outcome, no_promise
from stlm.testing.failure import shortened, told_of
from stlm.testing.kits import CHECKS
from stlm.testing.kits.declaration import loads
from stlm.testing.packages import OF_ALL, components_of_package, contested, faults_of_package
from stlm.testing.subject import Subject
from stlm.training.randomness import generators_kept


def checks_of(kind: str) -> tuple[Check, ...]:
    """The checks of a kind; of one that stlm does not know, those of every kind."""
    return tuple(one for one in CHECKS if one.is_about(kind))


def named_checks(only: Iterable[str]) -> frozenset[str]:
    """Give names of checks as a set; raises `UsageError` for one that there is not."""
    wanted, known = tuple(only), [*OF_ALL, *(one.name for one in CHECKS)]
    for name in wanted:
        if name not in known:
            raise UsageError(_refusal(f"there is no check `{name}`", name, known))
    return frozenset(wanted)


def require_fitting(only: Collection[str], kinds: Collection[str], of_package: Collection[str] = ()) -> None:
    """Raise `UsageError` for a check that is about none of the kinds at hand: nothing would be told of it."""
    known = [*of_package, *(one.name for one in CHECKS if any(one.is_about(kind) for kind in kinds))]
    for name in sorted(only):
        if name not in known:
            about = "a whole package" if name in OF_ALL else "components of other kinds"
            raise UsageError(_refusal(f"`{name}` is a check of {about}", name, known))


def _refusal(what: str, name: str, known: list[str]) -> str:
    return "; ".join((what, *nearest(name, known), f"checks: {', '.join(known)}"))


def look(check: Check, subject: Subject) -> None:
    """Run a check where nothing can be downloaded, and leave random states alone. Raises what the check raises."""
    with offline(), generators_kept(torch.device("cpu")), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            check.look(subject)
        except NotLoadedError:
            if check.name == loads.name:
                raise
            no_promise("it cannot be loaded")


def outcome_of(check: Check, subject: Subject) -> Outcome:
    """Run a check and tell what became of it, in one line."""
    about = subject.kind, subject.asked, check.name
    try:
        look(check, subject)
    except NotApplicableError as error:
        return Outcome(*about, "skipped", shortened(str(error)))
    except Exception as error:
        return Outcome(*about, "failed", *told_of(error, subject))
    return Outcome(*about, "passed")


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Let nothing be looked up or reached: what is not on this machine is not at hand."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OSError("a check downloads nothing")

    lookup, connect = socket.getaddrinfo, socket.socket.connect
    socket.getaddrinfo, socket.socket.connect = refuse, refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        socket.getaddrinfo, socket.socket.connect = lookup, connect  # type: ignore[method-assign]


def check_component(
    kind: str,
    name: str,
    *,
    registry: Registry | None = None,
    options: Mapping[str, Any] | None = None,
    only: Iterable[str] = (),
) -> Iterator[Outcome]:
    """Look at one component that is installed; ``options`` are said in its spec, ``only`` names checks.

    Raises `UsageError` for a check that there is not, or that is of other kinds.
    """
    only = named_checks(only)
    require_fitting(only, [kind])
    with tempfile.TemporaryDirectory(prefix="stlm-check-") as folder:
        yield from _outcomes(Subject(Bench(Path(folder), registry), kind, name, dict(options or {})), only)


def check_package(package: str, *, registry: Registry | None = None, only: Iterable[str] = ()) -> Iterator[Outcome]:
    """Look at every component of an installed distribution, unless something is wrong with it as a whole.

    A name that another distribution has too is told first. ``only`` names checks, of the package and of its components;
    those of the package are told where they fail or are named. Raises `UsageError` where there is no such package, it
    brings no component, or there is no such check.
    """
    registry = registry or installed()
    only = named_checks(only)
    faults = faults_of_package(package, registry)
    yield from faults
    if faults:
        return
    components = components_of_package(package, registry)
    require_fitting(only, {kind for kind, _ in components}, OF_ALL)
    told = contested(package, registry)
    yield from told
    failed = {one.check for one in told}
    yield from (Outcome("package", package, name, "passed") for name in OF_ALL if name in only and name not in failed)
    if only and only <= OF_ALL.keys():
        return
    with tempfile.TemporaryDirectory(prefix="stlm-check-") as folder:
        bench = Bench(Path(folder), registry)
        for kind, name in components:
            yield from _outcomes(Subject(bench, kind, name), only)


def _outcomes(subject: Subject, only: Collection[str]) -> Iterator[Outcome]:
    """Do the checks of a component; of one that cannot be loaded, `loads` alone is told, whichever are asked for."""
    loaded = outcome_of(loads, subject)
    if loaded.result == "failed":
        yield loaded
        return
    for one in checks_of(subject.kind):
        if not only or one.name in only:
            yield loaded if one == loads else outcome_of(one, subject)


def check_class(*classes: type, only: Iterable[str] = (), options: Mapping[str, Any] | None = None) -> list[Outcome]:
    """Look at the first of some classes under `@component`, as if all were installed together."""
    identity = identity_of(classes[0])
    if identity is None:
        raise UsageError(f"{classes[0].__name__} is not a class under @component")
    registry = registry_with(*classes)
    return list(check_component(identity.kind, identity.name, registry=registry, only=only, options=options))


def registry_with(*classes: type, distribution: str = "under-test") -> Registry:
    """What is installed, and classes beside it, as of a distribution."""
    there = installed()
    found = there.installed.entries.items()
    entries = {kind: {name: list(ones) for name, ones in names.items()} for kind, names in found}
    for cls in classes:
        identity = identity_of(cls)
        assert identity is not None
        entry = Entry(identity.kind, identity.name, _Point(cls, distribution))  # type: ignore[arg-type]
        entries.setdefault(identity.kind, {})[identity.name] = [entry]
    return _Beside(there, Installed(entries))


class _Beside(Registry):
    """A registry of which what is installed too is loaded by that of the environment, once for all."""

    def __init__(self, installed_too: Registry, entries: Installed) -> None:
        super().__init__(entries)
        self.installed_too = installed_too

    def load(self, entry: Entry) -> type:
        return super().load(entry) if isinstance(entry.point, _Point) else self.installed_too.load(entry)

    def load_with_patience(self, entry: Entry) -> type:
        mine = isinstance(entry.point, _Point)
        return super().load_with_patience(entry) if mine else self.installed_too.load_with_patience(entry)


class _Point:
    """An entry point that leads to a class which is at hand already."""

    def __init__(self, cls: type, distribution: str) -> None:
        self.value, self.module = f"{cls.__module__}:{cls.__qualname__}", cls.__module__
        self.dist = _Distribution(distribution)
        self.cls = cls

    def load(self) -> type:
        return self.cls


@attrs.frozen
class _Distribution:
    name: str

    @property
    def metadata(self) -> dict[str, str]:
        return {"Name": self.name, "Version": "0"}
