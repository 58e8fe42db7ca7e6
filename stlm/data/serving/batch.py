"""What a network is fed: one micro-batch of token ids and what should follow them."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stlm.nn.losses import IGNORE

__all__ = ["IGNORE", "Batch"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids, targets and (where documents are kept apart) segment ids, each (batch, seq) int64.

    ``targets[b, t]`` is the token to predict at position ``t``, or `IGNORE` where nothing is asked.
    """

    token_ids: Tensor
    targets: Tensor
    segments: Tensor | None = None

    def to(self, device: torch.device | str) -> "Batch":
        """Copy to ``device``."""
        segments = None if self.segments is None else self.segments.to(device)
        return replace(self, token_ids=self.token_ids.to(device), targets=self.targets.to(device), segments=segments)
