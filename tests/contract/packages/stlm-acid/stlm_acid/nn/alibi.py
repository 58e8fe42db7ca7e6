"""Attention with linear biases. Shapes: B = batch, S = tokens of this call, T = tokens attended to, H = heads."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.nn import Context, KeyValueCache, Linear, cost


def slopes(num_heads: int) -> list[float]:
    """Return each head's slope: 2^(-8/n), 2^(-16/n), … for n heads, as in section 3 of the paper.

    Where n is no power of two, the authors' code takes the slopes of the power below it, then every other one of those
    of the power above it (`get_slopes` of github.com/ofirpress/attention_with_linear_biases).
    """
    power = 2 ** (num_heads.bit_length() - 1)
    first = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    return first if power == num_heads else first + slopes(2 * power)[::2][: num_heads - power]


class PositionedCache(KeyValueCache):
    """A cache that also knows where its tokens stand: ``positions`` is (1 or B, T)."""

    positions: Tensor | None = None

    def place(self, positions: Tensor) -> Tensor:
        """Add the positions of S more tokens and return all T."""
        self.positions = positions if self.positions is None else torch.cat((self.positions, positions), dim=1)
        return self.positions


class AlibiAttention(nn.Module):
    """Causal multi-head attention; head h adds -slope[h] · (distance in positions) to its scores.

    Shape: (B, S, hidden) -> (B, S, hidden), without the residual. Source: Press et al., 2022 (arXiv:2108.12409).
    """

    def __init__(self, hidden_dim: int, num_heads: int, *, norm: nn.Module) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = norm
        self.qkv = Linear(hidden_dim, 3 * hidden_dim, bias=False, parts=(hidden_dim,) * 3)
        self.out_proj = Linear(hidden_dim, hidden_dim, bias=False, into_residual=True)
        self.register_buffer("slopes", torch.empty(num_heads), persistent=False)

    def reset_parameters(self) -> None:
        """Fill the slopes."""
        self.slopes.copy_(torch.tensor(slopes(self.num_heads)))

    def forward(self, x: Tensor, context: Context, state: PositionedCache | None = None) -> Tensor:
        """Attend within ``x``, and, with a ``state``, to what it holds from earlier calls."""
        batch, seq, hidden = x.shape
        q, k, v = self.qkv(self.norm(x)).view(batch, seq, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        segments, places = context.segments, context.positions
        if state is not None:
            k, v, segments = state.append(k, v, segments)
            places = state.place(context.positions)
        bias = self.bias(context, places, segments).to(q.dtype)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.out_proj(y.transpose(1, 2).reshape(batch, seq, hidden))

    def bias(self, context: Context, places: Tensor, segments: Tensor | None) -> Tensor:
        """Return what is added to the scores, (1 or B, H, S, T); the layers of one forward pass share it."""
        seq, total = context.positions.shape[1], places.shape[1]
        key = ("alibi", self.num_heads, total)
        if key not in context.memo:
            distance = context.positions.unsqueeze(2) - places.unsqueeze(1)
            seen = torch.ones(1, seq, total, dtype=torch.bool, device=places.device).tril(total - seq)
            if segments is not None:
                seen = seen & (segments[:, -seq:].unsqueeze(2) == segments.unsqueeze(1))
            bias = -self.slopes.view(-1, 1, 1) * distance.unsqueeze(1)
            context.memo[key] = bias.masked_fill(~seen.unsqueeze(1), float("-inf"))
        return context.memo[key]

    def init_state(self, batch: int, max_tokens: int, device: torch.device, dtype: torch.dtype) -> PositionedCache:
        """Make an empty cache."""
        head_dim = self.out_proj.in_features // self.num_heads
        return PositionedCache(batch, self.num_heads, max_tokens, head_dim, device, dtype)

    def flops_per_token(self, seq_len: int) -> float:
        """Count the projections, and half of the scores and sums at full context."""
        return cost.sum_of_children(cost.flops_per_token, self, seq_len) + 2 * seq_len * self.out_proj.in_features
