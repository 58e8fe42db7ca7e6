"""Blocks that are run several times."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from stlm.nn import Context, TransformerCore, cost


class LoopedTransformer(nn.Module):
    """Run the same blocks ``num_loops`` times in a row; each run has a state of its own in generation.

    Shape: (batch, seq, hidden) -> (batch, seq, hidden). Source: Dehghani et al., 2018 (arXiv:1807.03819), without its
    halting and its embedding of the loop's number.
    """

    def __init__(self, blocks: Iterable[tuple[nn.Module, nn.Module]], *, num_loops: int) -> None:
        super().__init__()
        self.num_loops = num_loops
        self.loop = TransformerCore(blocks)

    def forward(self, x: Tensor, context: Context, state: list[Any] | None = None) -> Tensor:
        """Run all loops."""
        for index in range(self.num_loops):
            x = self.loop(x, context, None if state is None else state[index])
        return x

    def init_state(self, batch: int, max_tokens: int, device: torch.device, dtype: torch.dtype) -> list[Any] | None:
        """Make an empty state for each layer of each loop; None where an attention cannot go on token by token."""
        states = [self.loop.init_state(batch, max_tokens, device, dtype) for _ in range(self.num_loops)]
        return None if None in states else states

    def flops_per_token(self, seq_len: int) -> float:
        """Count a block as often as it is run."""
        return self.num_loops * cost.flops_per_token(self.loop, seq_len)

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count what each run of a block leaves behind."""
        return self.num_loops * cost.saved_bytes_per_token(self.loop, seq_len, width)

    def encoded_elements(self) -> int:
        """Count q and k of each run of a block, where a positional encoding makes new ones of them."""
        return self.num_loops * cost.encoded_elements(self.loop)
