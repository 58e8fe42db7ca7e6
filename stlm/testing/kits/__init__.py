"""The kits: for each kind of component, the checks that it must pass."""

from types import ModuleType

from stlm.testing.checking import Check
from stlm.testing.kits import (
    acts,
    branches,
    choosing,
    cores,
    data,
    declaration,
    export,
    formats,
    loss,
    network,
    options,
    reads,
    sight,
    steps,
    tokenizer,
)

MODULES: tuple[ModuleType, ...] = (
    *(declaration, reads, acts, network, sight, branches, cores, formats, options),
    *(tokenizer, data, loss, steps, choosing, export),
)


def checks_in(module: ModuleType) -> tuple[Check, ...]:
    """The checks that a module makes, without those that it imports."""
    found = (one for one in vars(module).values() if isinstance(one, Check))
    return tuple(one for one in found if one.look.__module__ == module.__name__)


CHECKS: tuple[Check, ...] = tuple(one for module in MODULES for one in checks_in(module))
"""All checks, in the order in which they are told; names differ."""

__all__ = ["CHECKS", "MODULES", "checks_in"]
