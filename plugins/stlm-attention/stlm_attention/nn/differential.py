"""Differential attention.

Shapes: B = batch, S = tokens of this call, T = tokens attended to; Hq and Hkv = heads of queries and of keys/values,
D = width of q and k in a map; a value is 2 D wide.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from stlm.nn import Context, KeyValueCache, Linear, cost
from stlm.nn.attention import attend
from stlm.nn.prepared import prepare


def lambda_init(layer: int) -> float:
    """Return where λ starts in a layer, counted from 0: 0.8 - 0.6·exp(-0.3·layer), from 0.2 toward 0.8.

    The paper counts layers from 1, and so writes l - 1.
    """
    return 0.8 - 0.6 * math.exp(-0.3 * layer)


class DifferentialAttention(nn.Module):
    """Attend by softmax(q₁k₁ᵀ) - λ·softmax(q₂k₂ᵀ), normalize each head, scale by 1 - λ_init.

    λ = exp(λ_q1·λ_k1) - exp(λ_q2·λ_k2) + λ_init, with four learned vectors (D,) that start from N(0, 0.1²).
    Shape: (B, S, hidden) -> (B, S, hidden), without the residual; the norm stands at the entrance.

    Rows of ``qkv``: first the heads of q₁ and q₂, then those of k₁ and k₂, then the first half of each head's value and
    the second. A half of a value is as wide as a key, so each map meets each half in a fused attention of its own: with
    values of another width than keys, torch would write down all scores. A score is so computed twice.
    Source: Ye et al., 2024 (arXiv:2410.05258), equations 1 to 3; the norm's weight is the authors' code's.
    """

    takes_branches = True

    def __init__(
        self,
        hidden_dim: int,
        *,
        num_q_heads: int,
        num_kv_heads: int,
        head_dim: int,
        lambda_init: float,
        norm: nn.Module,
        head_norm: nn.Module,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.num_q_heads, self.num_kv_heads, self.head_dim = num_q_heads, num_kv_heads, head_dim
        self.lambda_init = lambda_init
        q_dim, kv_dim = 2 * num_q_heads * head_dim, 2 * num_kv_heads * head_dim
        self.norm = norm
        self.qkv = Linear(hidden_dim, q_dim + 2 * kv_dim, bias, parts=(q_dim, kv_dim, kv_dim))
        self.lambda_q1, self.lambda_k1, self.lambda_q2, self.lambda_k2 = (
            nn.Parameter(torch.empty(head_dim)) for _ in range(4)
        )
        self.head_norm = head_norm
        self.out_proj = Linear(q_dim, hidden_dim, bias, into_residual=True)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors of λ."""
        for vector in (self.lambda_q1, self.lambda_k1, self.lambda_q2, self.lambda_k2):
            nn.init.normal_(vector, std=0.1)

    def forward(self, x: Tensor, context: Context, state: KeyValueCache | None = None) -> Tensor:
        """Attend within ``x``, and, with a ``state``, to what it holds from earlier calls."""
        return self.out_proj(self._attend(self.qkv(self.norm(x)), context, state, self.head_norm))

    def prepared(self) -> Callable[..., Tensor]:
        """Return `forward` as a function; see `stlm.nn.prepared`."""
        norm, qkv, out_proj = prepare(self.norm), prepare(self.qkv), prepare(self.out_proj)
        head_norm = prepare(self.head_norm)

        def forward(x: Tensor, context: Context, state: KeyValueCache | None = None) -> Tensor:
            return out_proj(self._attend(qkv(norm(x)), context, state, head_norm))

        return forward

    def _attend(
        self, qkv: Tensor, context: Context, state: KeyValueCache | None, head_norm: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Return the heads' results side by side, (B, S, Hq · 2 D)."""
        batch, seq, _ = qkv.shape
        heads = qkv.view(batch, seq, -1, self.head_dim).transpose(1, 2)
        qk, v = heads.split((2 * (self.num_q_heads + self.num_kv_heads), 2 * self.num_kv_heads), dim=1)
        q, k = context.encode_heads(qk, 2 * self.num_q_heads)
        segments = context.segments
        if state is not None:
            k, v, segments = state.append(k, v, segments)

        def attended(q: Tensor, k: Tensor) -> Tensor:
            """Attend by one of the two maps: (B, S, Hq, 2 D)."""
            halves = [attend(q, k, half, causal=True, segments=segments, context=context) for half in v.chunk(2, dim=1)]
            return torch.cat([half.transpose(1, 2) for half in halves], dim=-1)

        signal, noise = map(attended, q.chunk(2, dim=1), k.chunk(2, dim=1))
        y = head_norm(signal - self.weight_of_noise() * noise)
        return (y * (1 - self.lambda_init)).view(batch, seq, -1)

    def weight_of_noise(self) -> Tensor:
        """Return λ, a number in float32."""
        first = (self.lambda_q1.float() * self.lambda_k1.float()).sum().exp()
        second = (self.lambda_q2.float() * self.lambda_k2.float()).sum().exp()
        return first - second + self.lambda_init

    def init_state(self, batch: int, max_tokens: int, device: torch.device, dtype: torch.dtype) -> KeyValueCache:
        """Make an empty cache, which holds both keys of a head and both halves of its value as heads."""
        return KeyValueCache(batch, 2 * self.num_kv_heads, max_tokens, self.head_dim, device, dtype)

    def flops_per_token(self, seq_len: int) -> float:
        """Count the projections, and of both maps scores and sums; a causal mask leaves half of these.

        It is what the formula takes: that scores are computed twice is left out, as what is recomputed is elsewhere.
        """
        maps = 2 * self.num_q_heads * (2 * self.head_dim + 4 * self.head_dim) * seq_len
        return cost.sum_of_children(cost.flops_per_token, self, seq_len) + maps / 2

    def encoded_elements(self) -> int:
        """Count q and k once more where a positional encoding makes new ones of them."""
        return 2 * (self.num_q_heads + self.num_kv_heads) * self.head_dim

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count what the four fused attentions keep, what λ multiplies, and what the norm of each head keeps."""
        entrance = cost.saved_bytes_per_token(self.norm, seq_len, width)
        heads = self.num_q_heads * cost.saved_bytes_per_token(self.head_norm, seq_len, width)
        results = 2 * self.out_proj.in_features  # two maps, two halves, of `num_q_heads` · `head_dim` each
        noise, merged = self.out_proj.in_features, self.out_proj.in_features
        kept = self.qkv.in_features + self.qkv.out_features + results + noise + merged
        return entrance + heads + width * kept + 4 * 4 * self.num_q_heads
