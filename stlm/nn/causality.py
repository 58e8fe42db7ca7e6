"""Which way a network looks: whether a position's state depends on what follows it, as its parts declare."""

from typing import Any

from torch import nn

from stlm.nn.prepared import stands_for


def is_causal(module: nn.Module) -> bool:
    """Whether no position sees what follows it, by the attribute ``causal`` of the parts.

    What a module says holds for all within it. One that says nothing is as its parts are, and without any it is causal.
    """
    said = getattr(module, "causal", None)
    return all(map(is_causal, module.children())) if said is None else bool(said)


def takes_branches(module: Any, *methods: str) -> bool:
    """Whether a part keeps to `Context.reach`, by an attribute ``takes_branches``; who says nothing does not.

    It counts only for the ``methods`` (`forward`, unless given) that stand in the same class: one that is overridden
    may look elsewhere. Those that a part does not have are not asked for.
    """
    said = bool(getattr(module, "takes_branches", False))
    there = [method for method in methods or ("forward",) if hasattr(module, method)]
    return said and all(stands_for(module, "takes_branches", method) for method in there)
