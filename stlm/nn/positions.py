"""Positional encodings: how a network knows where a token stands.

An encoding is a module with up to two acts, both optional: ``at_input(x, positions)`` right after the token embedding,
and, inside each attention, ``on_qk(q, k, positions, memo)``; or ``on_heads(x, positions, memo)`` where the same is done
to q and to k, so that the heads of both can be one tensor (``on_qk`` wins where there are both). Nothing is computed
ahead of the first forward pass, so none has a table that must survive a move between devices, and only `Learned` is
bound to a number of positions.

Shapes: x (batch, seq, hidden); q and k (batch, heads, seq, head_dim); positions (1 or batch, seq).
"""

import math
from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor, nn


class NoPositions(nn.Module):
    """Tell the network nothing; a causal mask alone lets it infer positions (Haviv et al., 2022; arXiv:2203.16634)."""

    takes_branches = True


class Learned(nn.Module):
    """Add a trained vector for each position (Gehring et al., 2017; arXiv:1705.03122)."""

    takes_branches = True

    def __init__(self, num_positions: int, hidden_dim: int) -> None:
        super().__init__()
        self.position_embedding = nn.Embedding.from_pretrained(torch.empty(num_positions, hidden_dim), freeze=False)

    def at_input(self, x: Tensor, positions: Tensor) -> Tensor:
        """Add each position's vector."""
        return x + self.position_embedding(positions).to(x.dtype)


class SinCos(nn.Module):
    """Add sines at even and cosines at odd indices, wavelengths from 2π to 10000·2π (Vaswani et al., 2017)."""

    takes_branches = True

    def __init__(self, hidden_dim: int, *, longest: float = 10_000.0) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.longest = longest

    def at_input(self, x: Tensor, positions: Tensor) -> Tensor:
        """Add each position's waves."""
        angles = _angles(positions, self.hidden_dim, self.longest)
        return x + torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2).to(x.dtype)


class Rotary(nn.Module):
    """Rotate q and k by angles that grow with the position, so that their product knows only distances.

    Source: Su et al., 2021 (arXiv:2104.09864). Index i is paired with i + head_dim/2, as Llama's published weights in
    the Hugging Face layout are, and not with its neighbor as in the paper: the two differ by a permutation of the
    rows of the projections.
    """

    takes_branches = True

    def __init__(self, *, theta: float = 10_000.0) -> None:
        super().__init__()
        self.theta = theta

    def on_heads(self, x: Tensor, positions: Tensor, memo: dict[Hashable, Any]) -> Tensor:
        """Rotate heads of q, of k, or of both; all layers share the cosines and sines through ``memo``."""
        key = ("rotary", self.theta, x.shape[-1], x.dtype)
        tables = memo.get(key)
        if tables is None:
            angles = _angles(positions, x.shape[-1], self.theta).unsqueeze(2)  # one axis for the heads
            cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
            tables = memo[key] = torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)
        return _rotate(x, *tables)


def _angles(positions: Tensor, dim: int, base: float) -> Tensor:
    """Return position · base^(-2i/dim) for i < dim/2, in float32: (1 or batch, seq, dim/2)."""
    exponents = torch.arange(0, dim, 2, device=positions.device, dtype=torch.float32)
    frequencies = torch.exp(exponents * (-math.log(base) / dim))
    return positions.to(torch.float32).unsqueeze(-1) * frequencies


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate x, (batch, heads, seq, head_dim), by tables (1 or batch, seq, 1, head_dim), the first half of sin negated.

    The result lies in memory with the heads of a token side by side, as the projection made them: attention keeps the
    order of q, and merging its heads is then no copy.
    """
    if x.shape[2] == 1:  # one token: the order of axes does not matter, and each of these operations counts
        return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)
    x = x.transpose(1, 2)
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin).transpose(1, 2)
