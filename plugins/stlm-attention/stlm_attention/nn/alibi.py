"""Attention with linear biases. Shapes: B = batch, S = tokens of this call, T = tokens attended to; Hq and Hkv = heads
of queries and of keys/values."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stlm.nn import Context, KeyValueCache
from stlm_attention.nn.heads import HeadedAttention


def slopes(num_heads: int) -> list[float]:
    """Return each head's slope: 2^(-8/n), 2^(-16/n), … for n heads, as in section 3 of the paper.

    Where n is no power of two, the authors take the slopes for the power of two below it, and then, of those for the
    power above it, the first, the third and so on (`get_slopes` of github.com/ofirpress/attention_with_linear_biases).
    """
    power = 2 ** (num_heads.bit_length() - 1)
    first = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    return first if power == num_heads else first + slopes(2 * power)[::2][: num_heads - power]


class PositionedCache(KeyValueCache):
    """A cache that also knows where its tokens stand: ``positions`` is (1 or B, T)."""

    positions: Tensor | None = None

    def place(self, positions: Tensor) -> Tensor:
        """Add the positions of S more tokens and return those of all T."""
        self.positions = positions if self.positions is None else torch.cat((self.positions, positions), dim=1)
        return self.positions


class AlibiAttention(HeadedAttention):
    """Causal attention; head h adds -slope[h] · (distance in positions) to its scores.

    Shape: (B, S, hidden) -> (B, S, hidden), without the residual. Source: Press et al., 2021 (arXiv:2108.12409). The
    biases are one table, Hq · S · T numbers in the working precision, which the layers of a forward pass share.
    """

    takes_branches = True

    def __init__(self, hidden_dim: int, **parts: Any) -> None:
        super().__init__(hidden_dim, **parts)
        self.register_buffer("slopes", torch.empty(self.num_q_heads), persistent=False)

    def reset_parameters(self) -> None:
        """Fill the slopes."""
        self.slopes.copy_(torch.tensor(slopes(self.num_q_heads)))

    def forward(self, x: Tensor, context: Context, state: PositionedCache | None = None) -> Tensor:
        """Attend within ``x``, and, with a ``state``, to what it holds from earlier calls."""
        q, k, v = self.queries_keys_values(x, context)
        segments, places = context.segments, context.positions
        if state is not None:
            k, v, segments = state.append(k, v, segments)
            places = state.place(places)
        bias = self.bias(context, places, segments, q.dtype)
        grouped = self.num_q_heads != self.num_kv_heads
        return self.merged(F.scaled_dot_product_attention(q, k, v, attn_mask=bias, enable_gqa=grouped))

    def bias(self, context: Context, places: Tensor, segments: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Return what is added to the scores, (1 or B, Hq, S, T), -∞ for what is not seen."""
        seq, total = context.positions.shape[1], places.shape[1]
        key = ("alibi", self.num_q_heads, total, dtype)
        if key not in context.memo:
            unseen = torch.ones(1, seq, total, dtype=torch.bool, device=places.device).triu(total - seq + 1)
            if segments is not None:
                unseen = unseen | (segments[:, -seq:].unsqueeze(2) != segments.unsqueeze(1))
            if context.reach is not None:
                queries = torch.arange(seq, device=places.device).unsqueeze(1)
                unseen = unseen | (queries >= context.reach.unsqueeze(1))
            distance = (context.positions.unsqueeze(2) - places.unsqueeze(1)).masked_fill(unseen, 0)
            bias = (-self.slopes.view(-1, 1, 1) * distance.unsqueeze(1)).to(dtype)
            context.memo[key] = bias.masked_fill_(unseen.unsqueeze(1), -torch.inf)
        return context.memo[key]

    def init_state(self, batch: int, max_tokens: int, device: torch.device, dtype: torch.dtype) -> PositionedCache:
        """Make an empty cache."""
        return PositionedCache(batch, self.num_kv_heads, max_tokens, self.head_dim, device, dtype)
