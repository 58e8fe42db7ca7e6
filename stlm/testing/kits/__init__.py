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

CHECKS: tuple[Check, ...] = tuple(
    found for module in MODULES for found in vars(module).values() if isinstance(found, Check)
)
"""All checks, in the order in which they are told; names differ."""

__all__ = ["CHECKS", "MODULES"]
