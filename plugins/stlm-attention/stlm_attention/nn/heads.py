"""Self-attention up to the scores: what the kinds in this package share that weigh the same heads otherwise.

Shapes: B = batch, S = tokens of this call, T = tokens attended to; Hq and Hkv = heads of queries and of keys/values.
"""

from torch import Tensor

from stlm.nn import Context, SelfAttention


class HeadedAttention(SelfAttention):
    """stlm's attention, its weights and what they cost; who derives from it says how heads meet, by `forward`."""

    def queries_keys_values(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """Make q (B, Hq, S, head_dim), k and v (B, Hkv, S, head_dim) of x (B, S, hidden), positions encoded."""
        batch, seq, _ = x.shape
        heads = self.qkv(self.dropout(self.norm(x))).view(batch, seq, -1, self.head_dim).transpose(1, 2)
        q, k, v = heads.split((self.num_q_heads, self.num_kv_heads, self.num_kv_heads), dim=1)
        q, k = context.encode_qk(self.q_norm(q), self.k_norm(k))
        return q, k, v

    def merged(self, y: Tensor) -> Tensor:
        """Join the heads of y (B, Hq, S, head_dim) and project them back: (B, S, hidden)."""
        return self.out_proj(y.transpose(1, 2).flatten(2))
