"""Which parameters an optimizer is given, and how."""

from typing import Any

from torch import nn


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Divide the trainable parameters into those that decay (two dimensions or more) and those that do not.

    A parameter that several modules share appears once. A group without parameters is left out.
    """
    trainable = [p for p in network.parameters() if p.requires_grad]
    decayed = [p for p in trainable if p.ndim >= 2]
    others = [p for p in trainable if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
