"""What a network is fed: one micro-batch of token ids and what should follow them."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from stlm.nn.losses import IGNORE

__all__ = ["IGNORE", "Batch"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids, targets and (where documents are kept apart) segments and positions, each (batch, seq) int64.

    ``targets[b, t]`` is the token to predict at position ``t``, or `IGNORE` where nothing is asked. ``segments`` say
    which document of its window a token is of, ``positions`` how far into it the token stands; both go to the model. As
    an input, an end of text is the first token of the document that it stands before.
    """

    token_ids: Tensor
    targets: Tensor
    segments: Tensor | None = None
    positions: Tensor | None = None

    def to(self, device: torch.device | str) -> "Batch":
        """Copy to ``device``; a copy to CUDA from pinned memory is not waited for."""
        later = torch.device(device).type == "cuda"
        return self._each(lambda tensor: tensor.to(device, non_blocking=later))

    def pinned(self) -> "Batch":
        """Copy to memory that is not paged, from which CUDA takes it while the process goes on."""
        return self._each(Tensor.pin_memory)

    def rows(self, which: slice | Tensor) -> "Batch":
        """Take some of the rows."""
        return self._each(lambda tensor: tensor[which])

    def _each(self, do: Callable[[Tensor], Tensor]) -> "Batch":
        tensors = (getattr(self, field.name) for field in fields(self))
        return Batch(*(None if tensor is None else do(tensor) for tensor in tensors))
