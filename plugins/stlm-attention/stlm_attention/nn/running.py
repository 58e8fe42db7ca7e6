"""What linear attention and its gated form have in common: the running state, and where texts end.

Shapes: B = batch, S = tokens of this call, H = heads, K and V = widths of a key and of a value.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from stlm.nn import Context, cost
from stlm_attention.nn.recurrence import Borders, RunningState, recur


class RunningAttention(nn.Module):
    """A norm and a dropout at the entrance, heads that each keep a matrix, and a state that does not grow."""

    def __init__(
        self, *, num_heads: int, state_shape: tuple[int, int], chunk_size: int, norm: nn.Module, dropout: float
    ):
        super().__init__()
        self.num_heads, self.state_shape, self.chunk_size = num_heads, state_shape, chunk_size
        self.norm = norm
        self.dropout = nn.Dropout(dropout)

    def init_state(self, batch: int, max_tokens: int, device: torch.device, dtype: torch.dtype) -> RunningState:
        """Make an empty state, float32 whatever the model's dtype; its size does not depend on ``max_tokens``."""
        return RunningState(torch.zeros(batch, self.num_heads, *self.state_shape, device=device))

    def _entrance(self, x: Tensor) -> Tensor:
        return self.dropout(self.norm(x))

    def apart(self, x: Tensor) -> Tensor:
        """Take heads apart: (B, S, heads · width) -> (B, H, S, width)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def recurrence(self, context: Context, state: RunningState | None) -> Callable[..., tuple[Tensor, Tensor]]:
        """Return `recur` for the texts of this pass; a ``state`` is told which of them it will be in the middle of."""
        borders = self._borders(context, state)

        def run(
            q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None = None, sums: Tensor | None = None
        ) -> tuple[Tensor, Tensor]:
            return recur(q, k, v, log_decay, state=sums, borders=borders, chunk_size=self.chunk_size)

        return run

    def _borders(self, context: Context, state: RunningState | None) -> Borders | None:
        """Find where texts end; the layers of one forward pass share it, for each has seen the same tokens before."""
        segments, before = context.segments, None if state is None else state.segment
        if segments is None and before is not None:  # as a cache has it: tokens without a segment are of segment 0
            segments = torch.zeros_like(context.token_ids)
        if segments is None:
            return None
        if state is not None:
            state.segment = segments[:, -1:]
        key = ("borders", self.chunk_size)
        if key not in context.memo:
            context.memo[key] = Borders.of(segments, before, self.chunk_size)
        return context.memo[key]

    def recurrence_flops(self, seq_len: int) -> float:
        """Count what the recurrence costs a token: half the pairs of a chunk, writing the state and reading it."""
        key_dim, value_dim = self.state_shape
        pairs = min(self.chunk_size, seq_len) * (key_dim + value_dim)
        return self.num_heads * (pairs + 4 * key_dim * value_dim)

    def entrance_bytes(self, seq_len: int, width: int) -> float:
        """Count what norm and dropout keep for the backward pass."""
        dropped = 4 * self.out_proj.out_features if self.dropout.p else 0
        return cost.saved_bytes_per_token(self.norm, seq_len, width) + dropped


def in_float32(device: torch.device) -> AbstractContextManager[object]:
    """Leave autocast within the context. Where it is not on, nothing is entered: that takes as long as a product."""
    kind = device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()
