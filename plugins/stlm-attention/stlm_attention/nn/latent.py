"""Multi-head latent attention.

Shapes: B = batch, S = tokens of this call, T = tokens attended to, H = heads; R = width of the latent of keys and
values; N, P and V = widths of a head's part of q and k without positions, of that with positions, and of its values.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.nn import Context, KeyValueCache, Linear, cost
from stlm.nn.attention import attend
from stlm.nn.prepared import prepare


class LatentCache(KeyValueCache):
    """The latent of each token seen so far, and beside it the key with positions: ``keys``, (B, 1, max_tokens, R + P).

    The values are the latents, so none are stored.
    """

    def __init__(self, batch: int, max_tokens: int, width: int, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(batch, 1, 0, width, device, dtype)
        self.keys = torch.empty(batch, 1, max_tokens, width, device=device, dtype=dtype)
        self.values = self.keys[..., :0]


class _Parts(NamedTuple):
    """The modules of `LatentAttention` by name, as they are or as functions that stand for them."""

    norm: Callable[[Tensor], Tensor]
    qkv_a: Callable[[Tensor], Tensor]
    q_norm: Callable[[Tensor], Tensor]
    q_b: Callable[[Tensor], Tensor]
    kv_norm: Callable[[Tensor], Tensor]
    kv_b: Callable[[Tensor], Tensor]
    out_proj: Callable[[Tensor], Tensor]


class LatentAttention(nn.Module):
    """Attend with keys and values that are made, for all heads, from one latent (B, S, R).

    Of head h, q_h = [q_h^N; q_h^P] and k_h = [W_h^UK c; k^P], where c is the normalized latent, and k^P, on which the
    positional encoding acts, is the same for all heads; v_h = W_h^UV c. Scores are divided by √(N + P). With a
    ``q_lora_rank`` all q are made from a latent too. Shape: (B, S, hidden) -> (B, S, hidden), without the residual; the
    norm stands at the entrance.

    A whole text is computed so. A step of generation does without the keys and values of the T tokens before it: since
    q_h^N · W_h^UK c = (W_h^UKᵀ q_h^N) · c, and a sum of W_h^UV c is W_h^UV of the sum, the heads become queries to one
    key [c; k^P] with the value c, which is what is cached. The result is the same.

    Source: DeepSeek-AI, 2024 (arXiv:2405.04434), section 2.1 and appendix C. Rows of ``qkv_a``: q or its latent, then
    c, then k^P; rows of ``kv_b``: all heads' W^UK, then all heads' W^UV.
    """

    takes_branches = True

    def __init__(
        self,
        hidden_dim: int,
        *,
        num_heads: int,
        qk_nope_head_dim: int,
        qk_rope_head_dim: int,
        v_head_dim: int,
        kv_lora_rank: int,
        norm: nn.Module,
        kv_norm: nn.Module,
        q_lora_rank: int | None = None,
        q_norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.num_heads, self.kv_lora_rank = num_heads, kv_lora_rank
        self.qk_nope_head_dim, self.qk_rope_head_dim, self.v_head_dim = qk_nope_head_dim, qk_rope_head_dim, v_head_dim
        q_dim = num_heads * (qk_nope_head_dim + qk_rope_head_dim)
        self.norm = norm
        parts = (q_lora_rank or q_dim, kv_lora_rank, *([qk_rope_head_dim] if qk_rope_head_dim else []))
        self.qkv_a = Linear(hidden_dim, sum(parts), bias=False, parts=parts)
        self.q_norm = q_norm or nn.Identity()
        self.q_b = Linear(q_lora_rank, q_dim, bias=False) if q_lora_rank else nn.Identity()
        self.kv_norm = kv_norm
        of_k, of_v = num_heads * qk_nope_head_dim, num_heads * v_head_dim
        self.kv_b = Linear(kv_lora_rank, of_k + of_v, bias=False, parts=(of_k, of_v))
        self.out_proj = Linear(of_v, hidden_dim, bias=False, into_residual=True)

    def forward(self, x: Tensor, context: Context, state: LatentCache | None = None) -> Tensor:
        """Attend within ``x``, and, with a ``state``, to what it holds from earlier calls."""
        return self._attend(_Parts(*(getattr(self, name) for name in _Parts._fields)), x, context, state)

    def prepared(self) -> Callable[..., Tensor]:
        """Return `forward` as a function; see `stlm.nn.prepared`."""
        parts = _Parts(*(prepare(getattr(self, name)) for name in _Parts._fields))

        def forward(x: Tensor, context: Context, state: LatentCache | None = None) -> Tensor:
            return self._attend(parts, x, context, state)

        return forward

    def _attend(self, parts: _Parts, x: Tensor, context: Context, state: LatentCache | None) -> Tensor:
        batch, seq, _ = x.shape
        rank, rotated = self.kv_lora_rank, self.qk_rope_head_dim
        qkv = parts.qkv_a(parts.norm(x))
        q, latent, k_rope = qkv.split((qkv.shape[-1] - rank - rotated, rank, rotated), dim=-1)
        q = parts.q_b(parts.q_norm(q)).view(batch, seq, self.num_heads, -1).transpose(1, 2)
        q_nope, q_rope = q.split((self.qk_nope_head_dim, rotated), dim=-1)
        latent, k_rope = parts.kv_norm(latent).unsqueeze(1), k_rope.unsqueeze(1)
        if rotated:
            q_rope, k_rope = context.encode_qk(q_rope, k_rope)
        segments = context.segments
        if state is not None:
            kept = torch.cat((latent, k_rope), dim=-1)
            kept, _, segments = state.append(kept, kept[..., :0], segments)
            if self._is_less_absorbed(seq, kept.shape[2]):
                y = self._absorbed(q_nope, q_rope, kept, segments, context)
                return parts.out_proj(y.transpose(1, 2).reshape(batch, seq, -1))
            latent, k_rope = kept.split((rank, rotated), dim=-1)
        y = self._plain(parts.kv_b(latent.squeeze(1)), q_nope, q_rope, k_rope, segments, context)
        return parts.out_proj(y.transpose(1, 2).reshape(batch, seq, -1))

    def _plain(
        self, kv: Tensor, q_nope: Tensor, q_rope: Tensor, k_rope: Tensor, segments: Tensor | None, context: Context
    ) -> Tensor:
        """Attend with the heads' own keys and values: kv (B, T, H · (N + V)), k_rope (B, 1, T, P) -> (B, H, S, V)."""
        of_k_and_v = kv.split(self.kv_b.parts, dim=-1)
        k_nope, v = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in of_k_and_v)
        # laid out token by token, as attention then lays out its result, so that merging the heads is no copy
        q = torch.cat((q_nope.transpose(1, 2), q_rope.transpose(1, 2)), dim=-1).transpose(1, 2)
        k = torch.cat((k_nope, k_rope.expand(-1, self.num_heads, -1, -1)), dim=-1)
        return attend_unequal(q, k, v, segments=segments, context=context)

    def _absorbed(
        self, q_nope: Tensor, q_rope: Tensor, kept: Tensor, segments: Tensor | None, context: Context
    ) -> Tensor:
        """Attend to what is cached: kept (B, 1, T, R + P) -> (B, H, S, V)."""
        of_k, of_v = self.kv_b.weight.split(self.kv_b.parts)
        to_latent = of_k.view(self.num_heads, self.qk_nope_head_dim, self.kv_lora_rank)
        from_latent = of_v.view(self.num_heads, self.v_head_dim, self.kv_lora_rank).transpose(1, 2)
        q = torch.cat((q_nope @ to_latent, q_rope), dim=-1)
        # `attend` divides by the root of the width that it sees; the rest of a value is k^P, which is cut off again
        q = q * math.sqrt(kept.shape[-1] / (self.qk_nope_head_dim + self.qk_rope_head_dim))
        y = attend(q, kept, kept, causal=True, segments=segments, context=context)
        return y[..., : self.kv_lora_rank] @ from_latent

    def _is_less_absorbed(self, seq: int, total: int) -> bool:
        """Whether S queries to T tokens take fewer operations on the latents than on keys and values made of them."""
        made = self.kv_lora_rank * (self.qk_nope_head_dim + self.v_head_dim)
        plain = total * made + seq * total * (self.qk_nope_head_dim + self.qk_rope_head_dim + self.v_head_dim)
        return seq * made + 2 * seq * total * (self.kv_lora_rank + self.qk_rope_head_dim) < plain

    def init_state(self, batch: int, max_tokens: int, device: torch.device, dtype: torch.dtype) -> LatentCache:
        """Make an empty cache."""
        return LatentCache(batch, max_tokens, self.kv_lora_rank + self.qk_rope_head_dim, device, dtype)

    def flops_per_token(self, seq_len: int) -> float:
        """Count the projections, and scores and sums of the heads' own keys and values; a causal mask leaves half."""
        widths = self.qk_nope_head_dim + self.qk_rope_head_dim + self.v_head_dim
        return cost.sum_of_children(cost.flops_per_token, self, seq_len) + seq_len * self.num_heads * widths

    def encoded_elements(self) -> int:
        """Nothing: what a positional encoding makes of a part is copied into the whole of q and k."""
        return 0

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count what the fused attention keeps at the width that it works at, and what is kept of latents."""
        of_heads = self.num_heads * max(self.qk_nope_head_dim + self.qk_rope_head_dim, self.v_head_dim)
        kept = self.qkv_a.in_features + 3 * of_heads  # the input, q, k and sums
        if self.out_proj.in_features < of_heads:  # values with zeros behind them, and sums without these
            kept += of_heads + self.out_proj.in_features
        else:
            kept += self.kv_b.out_features
        entrance = cost.saved_bytes_per_token(self.norm, seq_len, width)
        return entrance + width * kept + 4 * self.num_heads + self._latent_bytes(seq_len, width)

    def _latent_bytes(self, seq_len: int, width: int) -> float:
        """Count what norms of latents keep, and their results; in bf16 a norm copies its input to float32."""
        total = 0.0
        storage_is_kept = False  # that of all that `qkv_a` makes, of which a latent is a part
        for norm, made_of_it in ((self.q_norm, self.q_b), (self.kv_norm, self.kv_b)):
            if not isinstance(made_of_it, Linear):
                continue
            of_norm = cost.saved_bytes_per_token(norm, seq_len, width)
            storage_is_kept |= not of_norm or width == 4
            if of_norm:
                latent = made_of_it.in_features
                total += of_norm + width * latent - (4 * latent if width == 4 else 0)
        return total + (width * self.qkv_a.out_features if storage_is_kept else 0)


def attend_unequal(q: Tensor, k: Tensor, v: Tensor, *, segments: Tensor | None, context: Context) -> Tensor:
    """Attend causally where values (B, H, T, V) have another width than q and k (B, H, S or T, D) -> (B, H, S, V).

    torch's fused attention takes equal widths only; with others it would write down all scores. So zeros are added.
    """
    qk_dim, v_dim = q.shape[-1], v.shape[-1]
    width = max(qk_dim, v_dim)
    if width > qk_dim:
        q = q * math.sqrt(width / qk_dim)  # `attend` divides by the root of the width that it sees
    q, k, v = (_widened(heads, width) for heads in (q, k, v))
    return attend(q, k, v, causal=True, segments=segments, context=context)[..., :v_dim]


def _widened(heads: Tensor, width: int) -> Tensor:
    """Add zeros to each vector of (B, H, S, D), and keep the heads of a token side by side in memory."""
    missing = width - heads.shape[-1]
    return F.pad(heads.transpose(1, 2), (0, missing)).transpose(1, 2) if missing else heads
