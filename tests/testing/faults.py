"""Components that break a promise, each named after its fault, with the check that must find it."""

from collections.abc import Callable
from typing import Any

import attrs


@attrs.frozen
class Fault:
    """What is wrong with a component, which check finds it, and words of what that says."""

    name: str
    check: str
    says: str
    make: Callable[[], type] = attrs.field(repr=False)
    entry: str | None = None
    """The name of its entry point, where that is not the one that the class says."""


FAULTS: list[Fault] = []


def caught_by(check: str, says: str, *, entry: str | None = None) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Keep a function that makes a broken component; ``says`` is part of what the check must say of it."""

    def keep(make: Callable[[], Any]) -> Callable[[], Any]:
        FAULTS.append(Fault(make.__name__, check, says, make, entry))
        return make

    return keep
