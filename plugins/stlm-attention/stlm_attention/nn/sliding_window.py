"""Sliding-window attention. Shapes: B = batch, S = tokens of this call, T = tokens attended to, W = window,
N = blocks of W tokens; Hq and Hkv = heads of queries and of keys/values, H = either."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stlm.nn import Context, SelfAttention, cost
from stlm.nn.attention import attend
from stlm.nn.context import PADDING
from stlm_attention.nn.rolling import RollingCache


class SlidingWindowAttention(SelfAttention):
    """Causal attention in which a position sees W tokens, itself and the W - 1 before it.

    Shape: (B, S, hidden) -> (B, S, hidden), without the residual. Sources: Beltagy et al., 2020 (arXiv:2004.05150);
    Jiang et al., 2023 (Mistral 7B, arXiv:2310.06825), which looks one way and keeps a rolling cache.
    ``encoded``: a positional encoding makes new ones of q and k, for the prediction of memory.
    """

    def __init__(self, hidden_dim: int, *, window: int, encoded: bool = False, **parts: Any) -> None:
        super().__init__(hidden_dim, **parts)
        self.window, self.encoded = window, encoded

    def attended(
        self, q: Tensor, k: Tensor, v: Tensor, segments: Tensor | None, context: Context, state: Any
    ) -> Tensor:
        """Attend to the W nearest keys; a ``state`` has forgotten those further away."""
        return attend_nearby(q, k, v, window=self.window, segments=segments, context=context)

    def init_state(self, batch: int, max_tokens: int, device: torch.device, dtype: torch.dtype) -> RollingCache:
        """Make an empty cache of `window` tokens."""
        return RollingCache(batch, self.num_kv_heads, max_tokens, self.head_dim, device, dtype, window=self.window)

    def flops_per_token(self, seq_len: int) -> float:
        """Count the projections, and scores and sums with the keys that a token sees on average."""
        seen = seq_len / 2 if seq_len <= self.window else self.window - self.window**2 / (2 * seq_len)
        projections = cost.sum_of_children(cost.flops_per_token, self, seq_len)
        return projections + 4 * seen * self.num_q_heads * self.head_dim

    def encoded_elements(self) -> int:
        """Nothing: whether encoded q and k are kept beside others depends on the length of a text."""
        return 0

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count, where blocks are made, that keys and values are kept twice, and sums before and after joining.

        Blocks are copies, in the place of q, k and v as the projection gave them, and of encoded q and k.
        """
        kept = super().saved_bytes_per_token(seq_len, width)
        if seq_len <= 2 * self.window:
            return kept + (width * super().encoded_elements() if self.encoded else 0)
        keys_and_values = 2 * self.num_kv_heads * self.head_dim
        twice = (1 - self.window / seq_len) * keys_and_values
        return kept + width * (twice + self.out_proj.in_features)


def attend_nearby(q: Tensor, k: Tensor, v: Tensor, *, window: int, segments: Tensor | None, context: Context) -> Tensor:
    """Attend to the W nearest keys. q (B, Hq, S, D), k and v (B, Hkv, T, D) -> (B, Hq, S, D).

    The S queries are the last of the T tokens, which stand in their order; but a single query sees all keys that it is
    given, in any order, and ``segments`` (B, T) are then compared with its own, ``context.segments``.
    """
    seq, total = q.shape[2], k.shape[2]
    grouped = q.shape[1] != k.shape[1]
    if context.reach is None:
        if seq == 1 and segments is not None:
            mask = _alike(context, segments, q.dtype)
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)
        if total <= window or seq == 1:
            return attend(q, k, v, causal=True, segments=segments, context=context)
        if seq == total and seq > 2 * window:
            return _by_blocks(q, k, v, window, segments, context)
    mask = _band(seq, total, window, segments, context, q.dtype)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)


def _by_blocks(q: Tensor, k: Tensor, v: Tensor, window: int, segments: Tensor | None, context: Context) -> Tensor:
    """Let each block of W queries meet the keys of its own and of the block before it: S · 2W pairs, not S².

    The first block has none before it and is plain causal attention; it is copied, lest it keep all others in memory.
    The last is filled up with zeros at its end.
    """
    batch, _, seq, _ = q.shape
    of_first, of_others = _block_masks(seq, window, segments, context, q.dtype)
    grouped = q.shape[1] != k.shape[1]
    first = F.scaled_dot_product_attention(
        *(x[:, :, :window].contiguous() for x in (q, k, v)),
        attn_mask=of_first,
        is_causal=of_first is None,
        enable_gqa=grouped,
    )
    queries = _blocks(q, window)[:, 1:].flatten(0, 1)
    keys, values = (_with_the_one_before(_blocks(x, window)).flatten(0, 1) for x in (k, v))
    others = F.scaled_dot_product_attention(queries, keys, values, attn_mask=of_others, enable_gqa=grouped)
    others = others.unflatten(0, (batch, -1)).transpose(1, 2).flatten(2, 3)
    return torch.cat((first, others[:, :, : seq - window]), dim=2)


def _blocks(x: Tensor, window: int) -> Tensor:
    """Cut (B, H, S, D) into (B, N, H, W, D)."""
    missing = -x.shape[2] % window
    x = F.pad(x, (0, 0, 0, missing)) if missing else x
    return x.unflatten(2, (-1, window)).transpose(1, 2)


def _with_the_one_before(blocks: Tensor) -> Tensor:
    """Put before each block but the first the one before it: (B, N, ..., W, D) -> (B, N - 1, ..., 2W, D)."""
    return torch.cat((blocks[:, :-1], blocks[:, 1:]), dim=-2)


def _block_masks(
    seq: int, window: int, segments: Tensor | None, context: Context, dtype: torch.dtype
) -> tuple[Tensor | None, Tensor]:
    """Return what is added to the scores of the first block, (B, 1, W, W) or None where that is plain causal, and to
    those of the others, (1 or B · (N - 1), 1, W, 2W); the layers of one forward pass share it."""
    key = ("window blocks", seq, window, dtype)
    if key not in context.memo:
        place = torch.arange(2 * window, device=context.positions.device)
        behind = place[window:].unsqueeze(1) - place
        allowed = ((behind >= 0) & (behind < window)).expand(1, 1, window, 2 * window)
        first = None
        if segments is not None:
            same = segments[:, None, :window, None] == segments[:, None, None, :window]
            first = _added(same & allowed[..., window:], dtype)
            blocks = F.pad(segments, (0, -seq % window), value=PADDING).unflatten(1, (-1, window)).unsqueeze(-1)
            own, seen = blocks[:, 1:], _with_the_one_before(blocks).transpose(2, 3)
            allowed = allowed & (own == seen).flatten(0, 1).unsqueeze(1)
        context.memo[key] = first, _added(allowed, dtype)
    return context.memo[key]


def _band(seq: int, total: int, window: int, segments: Tensor | None, context: Context, dtype: torch.dtype) -> Tensor:
    """Return what is added to all scores: 0 in the band of keys that a query sees, else -∞, (1 or B, 1, S, T).

    Where texts share their beginning (`Context.reach`), what stands between a query and a key may be of another text;
    how far they are apart is then told by their positions.
    """
    key = ("window band", seq, total, window, dtype)
    if key not in context.memo:
        place = torch.arange(total, device=context.positions.device)
        behind = (place[total - seq :].unsqueeze(1) - place).expand(1, seq, total)
        allowed = behind >= 0
        if context.reach is not None:
            allowed = allowed & (place[total - seq :].unsqueeze(1) < context.reach.unsqueeze(1))
            behind = context.positions.unsqueeze(2) - context.positions.unsqueeze(1)
        allowed = allowed & (behind < window)
        if segments is not None:
            allowed = allowed & (segments[:, -seq:].unsqueeze(2) == segments.unsqueeze(1))
        context.memo[key] = _added(allowed.unsqueeze(1), dtype)
    return context.memo[key]


def _alike(context: Context, segments: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what is added to the scores of a single query: 0 for keys of its segment, else -∞, (B, 1, 1, T)."""
    key = ("window segments", segments.shape[1], dtype)
    if key not in context.memo:
        own = 0 if context.segments is None else context.segments
        context.memo[key] = _added((segments == own)[:, None, None], dtype)
    return context.memo[key]


def _added(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn a mask into numbers: torch would do so with a boolean one in each layer, and keep each for the backward."""
    return torch.zeros_like(allowed, dtype=dtype).masked_fill_(~allowed, -torch.inf)
