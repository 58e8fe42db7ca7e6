"""Which way a network looks: whether a position's state depends on what follows it, as its parts declare."""

from torch import nn


def is_causal(module: nn.Module) -> bool:
    """Whether no position sees what follows it, by the attribute ``causal`` of the parts.

    What a module says holds for all within it. One that says nothing is as its parts are, and without any it is causal.
    """
    said = getattr(module, "causal", None)
    return all(map(is_causal, module.children())) if said is None else bool(said)
