"""Linear attention: what was seen is kept as a sum that does not grow."""

from typing import Any

from stlm.components.attention.options import even_share
from stlm.registry import component, option, positive
from stlm_attention.components.running import RunningOptions


@component("attention", "linear")
class Linear(RunningOptions):
    """Causal attention with elu + 1 in the place of a softmax (Katharopoulos et al., 2020; arXiv:2006.16236)."""

    head_dim: int = option(
        positive,
        default=even_share("num_heads"),
        doc="Width of a head, where it is not the quotient of `hidden_dim` and `num_heads`.",
    )
    bias: bool = option(default=False, doc="Whether the projections to q, k and v, and the one back, have a bias.")

    def build(self, model: Any) -> Any:
        """Build the attention with its norm."""
        from stlm_attention.nn.linear import LinearAttention

        return LinearAttention(
            model.hidden_dim,
            num_heads=self.num_heads,
            head_dim=self.head_dim,
            chunk_size=self.chunk_size,
            norm=self.normalization.build(model, model.hidden_dim),
            bias=self.bias,
            dropout=self.attn_dropout,
        )
