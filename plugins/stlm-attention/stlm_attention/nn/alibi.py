"""Attention with linear biases. Shapes: B = batch, S = tokens of this call, T = tokens attended to; Hq and Hkv = heads
of queries and of keys/values."""

from collections.abc import Hashable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stlm.nn import Context, KeyValueCache, SelfAttention


def slopes(num_heads: int) -> list[float]:
    """Return each head's slope: 2^(-8/n), 2^(-16/n), … for n heads, as in section 3 of the paper.

    Where n is no power of two, the authors take the slopes for the power of two below it, and then, of those for the
    power above it, the first, the third and so on (`get_slopes` of github.com/ofirpress/attention_with_linear_biases).
    """
    power = 2 ** (num_heads.bit_length() - 1)
    first = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    return first if power == num_heads else first + slopes(2 * power)[::2][: num_heads - power]


class PositionedCache(KeyValueCache):
    """A cache that also knows where its tokens stand: ``positions`` is (1 or B, max_tokens)."""

    positions: Tensor | None = None

    def place(self, positions: Tensor) -> Tensor:
        """Store the positions of the S tokens that were appended last, and return those of all T."""
        if self.positions is None:
            self.positions = positions.new_zeros(positions.shape[0], self.keys.shape[2])
        self.positions[:, self.length - positions.shape[1] : self.length] = positions
        return self.positions[:, : self.length]


class AlibiAttention(SelfAttention):
    """Causal attention; head h adds -slope[h] · (distance in positions) to its scores.

    Shape: (B, S, hidden) -> (B, S, hidden), without the residual. Source: Press et al., 2021 (arXiv:2108.12409). The
    biases are one table, Hq · S · T numbers in the working precision, which the layers of a forward pass share.
    """

    def __init__(self, hidden_dim: int, **parts: Any) -> None:
        super().__init__(hidden_dim, **parts)
        self.register_buffer("slopes", torch.empty(self.num_q_heads), persistent=False)

    def reset_parameters(self) -> None:
        """Fill the slopes."""
        self.slopes.copy_(torch.tensor(slopes(self.num_q_heads)))

    def attended(
        self, q: Tensor, k: Tensor, v: Tensor, segments: Tensor | None, context: Context, state: KeyValueCache | None
    ) -> Tensor:
        """Attend with biases; a ``state`` knows the positions of what it holds from earlier calls."""
        places = state.place(context.positions) if isinstance(state, PositionedCache) else context.positions
        bias = self.bias(context, places, segments, q.dtype)
        if q.shape[2] == 1:  # the queries of a group share their keys as rows
            q, bias = (x.unflatten(1, (self.num_kv_heads, -1)).squeeze(3) for x in (q, bias))
            return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).flatten(1, 2).unsqueeze(2)
        grouped = self.num_q_heads != self.num_kv_heads
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, enable_gqa=grouped)

    def bias(self, context: Context, places: Tensor, segments: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Return what is added to the scores, (1 or B, Hq, S, T), -∞ for what is not seen."""
        key = ("alibi", self.num_q_heads, places.shape[1], dtype)
        if key not in context.memo:
            unseen = _unseen(context, places.shape[1], segments)
            distance = context.positions.unsqueeze(2) - places.unsqueeze(1)
            if unseen is not None:
                distance = distance.masked_fill(unseen, 0)
            bias = (-self.slopes.view(-1, 1, 1) * distance.unsqueeze(1)).to(dtype)
            context.memo[key] = bias if unseen is None else bias.masked_fill_(unseen.unsqueeze(1), -torch.inf)
        return context.memo[key]

    def shared_tables(self, seq_len: int, width: int) -> dict[Hashable, int]:
        """Count the biases of a row."""
        return {("alibi", self.num_q_heads): width * self.num_q_heads * seq_len**2}

    def init_state(self, batch: int, max_tokens: int, device: torch.device, dtype: torch.dtype) -> PositionedCache:
        """Make an empty cache."""
        return PositionedCache(batch, self.num_kv_heads, max_tokens, self.head_dim, device, dtype)


def _unseen(context: Context, total: int, segments: Tensor | None) -> Tensor | None:
    """Return which of the T tokens the S queries do not see, (1 or B, S, T); None where one query sees all."""
    seq = context.positions.shape[1]
    if seq == 1 and segments is None and context.reach is None:
        return None
    unseen = torch.ones(1, seq, total, dtype=torch.bool, device=context.positions.device).triu(total - seq + 1)
    if segments is not None:
        unseen = unseen | (segments[:, -seq:].unsqueeze(2) != segments.unsqueeze(1))
    if context.reach is not None:
        queries = torch.arange(seq, device=unseen.device).unsqueeze(1)
        unseen = unseen | (queries >= context.reach.unsqueeze(1))
    return unseen
