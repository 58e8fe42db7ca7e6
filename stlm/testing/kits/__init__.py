"""The kits: for each kind of component, the checks that it must pass."""

from types import ModuleType

from stlm.testing.check import Check
from stlm.testing.kits import (
    acts,
    branches,
    choosing,
    data,
    declaration,
    export,
    formats,
    loss,
    network,
    options,
    sight,
    steps,
    tokenizer,
)

MODULES: tuple[ModuleType, ...] = (
    *(declaration, acts, network, sight, branches, formats, options),
    *(tokenizer, data, loss, steps, choosing, export),
)

CHECKS: tuple[Check, ...] = tuple(
    found for module in MODULES for found in vars(module).values() if isinstance(found, Check)
)
"""All checks, in the order in which they are told; names differ."""

__all__ = ["CHECKS", "MODULES"]
