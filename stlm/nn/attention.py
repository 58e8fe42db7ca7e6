"""Self-attention, and the cache that lets it go on token by token.

Shapes: B = batch, S = tokens of this call, T = tokens attended to; Hq and Hkv = heads of queries and of keys/values.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.nn import cost
from stlm.nn.context import Context
from stlm.nn.linear import Linear
from stlm.nn.prepared import prepare


class KeyValueCache:
    """Keys and values of the tokens seen so far, in buffers that are allocated once.

    ``keys`` and ``values`` are (B, Hkv, max_tokens, head_dim), of which the first ``length`` tokens are filled.
    ``segments``, kept where the first call gave them, are (B, max_tokens).
    """

    def __init__(
        self, batch: int, heads: int, max_tokens: int, head_dim: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.keys = torch.empty(batch, heads, max_tokens, head_dim, device=device, dtype=dtype)
        self.values = torch.empty_like(self.keys)
        self.segments: Tensor | None = None
        self.length = 0

    def append(self, k: Tensor, v: Tensor, segments: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Store S more tokens and return all T: keys and values (B, Hkv, T, head_dim), segments (B, T) or None."""
        start, end = self.length, self.length + k.shape[2]
        room = self.keys.shape[2]
        if end > room:
            raise ValueError(f"a cache of {room} tokens cannot take {k.shape[2]} more after {start}")
        self.keys.narrow(2, start, end - start).copy_(k)
        self.values.narrow(2, start, end - start).copy_(v)
        if segments is not None and start == 0:
            self.segments = segments.new_zeros(self.keys.shape[0], room)
        if self.segments is not None:
            self.segments[:, start:end] = 0 if segments is None else segments
        self.length = end
        seen = None if self.segments is None else self.segments[:, :end]
        keys, values = self.keys.narrow(2, 0, end), self.values.narrow(2, 0, end)
        if keys.dtype != k.dtype:
            keys, values = keys.to(k.dtype), values.to(v.dtype)
        return keys, values, seen


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself, with fewer heads of keys and values where asked for.

    One whose heads meet in another way is a subclass with an `attended` of its own; where that does not keep to
    `Context.reach`, it says ``takes_branches = False``.
    Shape: (B, S, hidden) -> (B, S, hidden). The norm and the dropout stand at the entrance; the caller adds the
    residual. Query head h reads key/value head h // (Hq / Hkv), as in Llama's published weights.
    Sources: Vaswani et al., 2017 (arXiv:1706.03762); grouped queries: Ainslie et al., 2023 (arXiv:2305.13245).
    """

    def __init__(
        self,
        hidden_dim: int,
        *,
        num_q_heads: int,
        num_kv_heads: int,
        head_dim: int,
        causal: bool,
        norm: nn.Module,
        bias: bool = False,
        dropout: float = 0.0,
        q_norm: nn.Module | None = None,
        k_norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.num_q_heads, self.num_kv_heads, self.head_dim = num_q_heads, num_kv_heads, head_dim
        self.causal = causal
        q_dim, kv_dim = num_q_heads * head_dim, num_kv_heads * head_dim
        self.norm = norm
        self.dropout = nn.Dropout(dropout)
        self.qkv = Linear(hidden_dim, q_dim + 2 * kv_dim, bias, parts=(q_dim, kv_dim, kv_dim))
        self.q_norm, self.k_norm = q_norm or nn.Identity(), k_norm or nn.Identity()
        self.norms_qk = not (isinstance(self.q_norm, nn.Identity) and isinstance(self.k_norm, nn.Identity))
        self.out_proj = Linear(q_dim, hidden_dim, bias, into_residual=True)

    def forward(self, x: Tensor, context: Context, state: KeyValueCache | None = None) -> Tensor:
        """Attend within ``x``, and, with a ``state``, to what it holds from earlier calls."""
        return self._attend(x, context, state, self._entrance, self.qkv, self.out_proj)

    def prepared(self) -> Callable[..., Tensor]:
        """Return `forward` as a function; see `stlm.nn.prepared`."""
        norm, qkv, out_proj = prepare(self.norm), prepare(self.qkv), prepare(self.out_proj)

        def forward(x: Tensor, context: Context, state: KeyValueCache | None = None) -> Tensor:
            return self._attend(x, context, state, norm, qkv, out_proj)

        return forward

    @property
    def takes_branches(self) -> bool:
        """Whether `Context.reach` is kept to."""
        return self.causal

    def _entrance(self, x: Tensor) -> Tensor:
        return self.dropout(self.norm(x))

    def _attend(
        self,
        x: Tensor,
        context: Context,
        state: KeyValueCache | None,
        entrance: Callable[[Tensor], Tensor],
        qkv: Callable[[Tensor], Tensor],
        out_proj: Callable[[Tensor], Tensor],
    ) -> Tensor:
        batch, seq, _ = x.shape
        heads = self._heads(qkv(entrance(x)), batch, seq)
        both = self.num_q_heads + self.num_kv_heads
        qk, v = heads.narrow(1, 0, both), heads.narrow(1, both, self.num_kv_heads)
        if self.norms_qk:
            q, k = qk.split((self.num_q_heads, self.num_kv_heads), dim=1)
            q, k = context.encode_qk(self.q_norm(q), self.k_norm(k))
        else:
            q, k = context.encode_heads(qk, self.num_q_heads)
        segments = context.segments
        if state is not None:
            k, v, segments = state.append(k, v, segments)
        y = self.attended(q, k, v, segments, context, state)
        return out_proj((y if seq == 1 else y.transpose(1, 2)).reshape(batch, seq, -1))

    def attended(
        self, q: Tensor, k: Tensor, v: Tensor, segments: Tensor | None, context: Context, state: KeyValueCache | None
    ) -> Tensor:
        """Let queries meet keys: q (B, Hq, S, head_dim), k and v (B, Hkv, T, head_dim) -> (B, Hq, S, head_dim).

        The S queries are the last of the T tokens, whose ``segments`` are (B, T) or None. A ``state`` holds them.
        """
        return attend(q, k, v, causal=self.causal, segments=segments, context=context)

    def _heads(self, qkv: Tensor, batch: int, seq: int) -> Tensor:
        """Take the heads of q, k and v apart, (B, heads, S, head_dim); for a single token that is no transposition."""
        if seq == 1:
            return qkv.view(batch, -1, 1, self.head_dim)
        return qkv.view(batch, seq, -1, self.head_dim).transpose(1, 2)

    def init_state(self, batch: int, max_tokens: int, device: torch.device, dtype: torch.dtype) -> KeyValueCache | None:
        """Make an empty cache; None where a token also sees what follows it, so that nothing could be kept."""
        if not self.causal:
            return None
        return KeyValueCache(batch, self.num_kv_heads, max_tokens, self.head_dim, device, dtype)

    def flops_per_token(self, seq_len: int) -> float:
        """Count the projections, and scores and sums at full context; a causal mask leaves half of these."""
        scores_and_sums = 4 * seq_len * self.num_q_heads * self.head_dim
        return cost.sum_of_children(cost.flops_per_token, self, seq_len) + scores_and_sums / (2 if self.causal else 1)

    def encoded_elements(self) -> int:
        """Count q and k once more where a positional encoding makes new ones of them."""
        replaced = cost.saved_bytes_per_token(self.q_norm, 1, 4) > 0  # it acts on the norm's result, kept instead
        return 0 if replaced else (self.num_q_heads + self.num_kv_heads) * self.head_dim

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count what the fused attention keeps: never its scores, which it computes again."""
        entrance = cost.saved_bytes_per_token(self.norm, seq_len, width)
        dropped = 4 * self.qkv.in_features if self.dropout.p else 0
        # q, k and v are one storage; then the sums, which out_proj counts as its input, and a scale for each head
        projected = width * (self.qkv.in_features + self.qkv.out_features + self.out_proj.in_features)
        return entrance + dropped + projected + 4 * self.num_q_heads + self._normed_bytes(seq_len, width)

    def _normed_bytes(self, seq_len: int, width: int) -> float:
        """Count what norms of q and k add: in fp32 their results, for their inputs are q and k as they are counted.

        In bf16 the inputs are copied to float32 as well. `RMSNorm` does so everywhere, `LayerNorm` on GPUs only.
        """
        heads = [*[self.q_norm] * self.num_q_heads, *[self.k_norm] * self.num_kv_heads]
        added = sum(cost.saved_bytes_per_token(norm, seq_len, width) for norm in heads)
        copied = added > 0 and width < 4
        return added + (width * len(heads) * self.head_dim if copied else 0)


def attend(q: Tensor, k: Tensor, v: Tensor, *, causal: bool, segments: Tensor | None, context: Context) -> Tensor:
    """Attend by `scaled_dot_product_attention`, with a mask only where the mask cannot be said without one.

    q (B, Hq, S, head_dim), k and v (B, Hkv, T, head_dim) -> (B, Hq, S, head_dim). The S queries are the last of the T
    tokens. ``segments`` (B, T): a query sees keys of its own segment only. `Context.reach` narrows what is seen too.
    """
    batch, q_heads, seq, head_dim = q.shape
    kv_heads, total = k.shape[1], k.shape[2]
    if segments is None and seq == 1:  # one token sees everything; the queries of a group share their keys as rows
        if q_heads == kv_heads:
            return F.scaled_dot_product_attention(q, k, v)
        grouped = q.reshape(batch, kv_heads, q_heads // kv_heads, head_dim)
        return F.scaled_dot_product_attention(grouped, k, v).view(batch, q_heads, 1, head_dim)
    grouped_heads = q_heads != kv_heads
    if segments is None and context.reach is None and (not causal or seq == total):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=grouped_heads)
    mask = _mask(seq, total, causal, segments, context, q.dtype)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped_heads)


def _mask(seq: int, total: int, causal: bool, segments: Tensor | None, context: Context, dtype: torch.dtype) -> Tensor:
    """Return what is added to scores, 0 where query may see key and else -∞: (1 or B, 1, S, T).

    It is the one table of this size, made once in a forward pass and shared by heads and layers. Of a boolean mask,
    torch would make it anew in each layer, and keep each for the backward pass.
    """
    key = ("mask", seq, total, causal, dtype)
    if key not in context.memo:
        allowed = torch.ones(1, 1, seq, total, dtype=torch.bool, device=context.positions.device)
        if causal:
            allowed = allowed.tril(total - seq)
        if segments is not None:
            same = segments[:, -seq:].unsqueeze(2) == segments.unsqueeze(1)
            allowed = allowed & same.unsqueeze(1)
        if context.reach is not None:
            queries = torch.arange(seq, device=allowed.device).unsqueeze(1)
            allowed = allowed & (queries < context.reach.unsqueeze(1)).unsqueeze(1)
        context.memo[key] = torch.zeros_like(allowed, dtype=dtype).masked_fill_(~allowed, -torch.inf)
    return context.memo[key]
