"""Options that several components of this package have in common."""

from typing import Any

from stlm.components.attention.options import SelfAttentionOptions
from stlm.registry import section


@section
class HeadOptions(SelfAttentionOptions):
    """The options of stlm's own attention, for those that differ from it in which keys count how much."""

    def parts(self, model: Any) -> dict[str, Any]:
        """Return what `stlm.nn.SelfAttention` is told, but for the width of the model."""
        return {
            "num_q_heads": self.num_q_heads,
            "num_kv_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "causal": True,
            "norm": self.normalization.build(model, model.hidden_dim),
            "bias": self.bias,
            "dropout": self.attn_dropout,
            "q_norm": self.qk_norm.build(model, self.head_dim),
            "k_norm": self.qk_norm.build(model, self.head_dim),
        }
