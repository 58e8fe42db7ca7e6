"""Whole tensors of such as are shared out among processes (FSDP2), for what cannot be computed by parts."""

from typing import Any

import torch
from torch import Tensor

from stlm.nn.sharded import held_part


def whole(tensor: Any) -> Tensor:
    """Return the whole of a tensor on every process; one that is not shared out is returned as it is."""
    if not hasattr(tensor, "device_mesh"):
        return tensor  # type: ignore[no-any-return]
    gathered: Tensor = tensor.full_tensor()
    return gathered


@torch.no_grad()
def add_to(parameter: Tensor, change: Tensor, *, keep: float = 1.0) -> None:
    """Multiply a parameter by ``keep``, and add to it the whole of a change, of which a process takes its part."""
    part, place = held_part(parameter)
    part.add_(change[place]).mul_(keep)
