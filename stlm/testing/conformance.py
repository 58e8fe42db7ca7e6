"""Looking at components: each check of their kind, and what became of it."""

import contextlib
import socket
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch

from stlm.registry import identity_of
from stlm.registry.discovery import Entry, Installed, discover
from stlm.registry.manager import Registry, installed
from stlm.spec import UsageError
from stlm.testing.bench import Bench
from stlm.testing.checking import Check, NotApplicableError, NotLoadedError, Outcome, no_promise
from stlm.testing.failure import shortened, told_of
from stlm.testing.kits import CHECKS
from stlm.testing.kits.declaration import loads
from stlm.testing.packages import components_of_package, faults_of_package
from stlm.testing.subject import Subject
from stlm.training.randomness import generators_kept


def checks_of(kind: str) -> tuple[Check, ...]:
    """The checks of a kind; of one that stlm does not know, those of every kind."""
    return tuple(one for one in CHECKS if one.is_about(kind))


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
    """Look at one component that is installed; ``options`` are said in its spec, ``only`` names checks."""
    with tempfile.TemporaryDirectory(prefix="stlm-check-") as folder:
        yield from _outcomes(Subject(Bench(Path(folder), registry), kind, name, dict(options or {})), only)


def check_package(package: str, *, registry: Registry | None = None, only: Iterable[str] = ()) -> Iterator[Outcome]:
    """Look at every component of an installed distribution, unless something is wrong with it as a whole.

    Raises `UsageError` where there is no such package, or it brings no component.
    """
    registry = registry or installed()
    faults = faults_of_package(package, registry)
    yield from faults
    if faults:
        return
    components = components_of_package(package, registry)
    with tempfile.TemporaryDirectory(prefix="stlm-check-") as folder:
        bench = Bench(Path(folder), registry)
        for kind, name in components:
            yield from _outcomes(Subject(bench, kind, name), only)


def _outcomes(subject: Subject, only: Iterable[str]) -> Iterator[Outcome]:
    """Do the checks of a component; of one that cannot be loaded, `loads` alone is told, whichever are asked for."""
    wanted = set(only)
    loaded = outcome_of(loads, subject)
    if loaded.result == "failed":
        yield loaded
        return
    for one in checks_of(subject.kind):
        if not wanted or one.name in wanted:
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
    entries = {kind: {name: list(ones) for name, ones in names.items()} for kind, names in discover().entries.items()}
    for cls in classes:
        identity = identity_of(cls)
        assert identity is not None
        entry = Entry(identity.kind, identity.name, _Point(cls, distribution))  # type: ignore[arg-type]
        entries.setdefault(identity.kind, {})[identity.name] = [entry]
    return Registry(Installed(entries))


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
