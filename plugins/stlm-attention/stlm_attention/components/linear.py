"""Linear attention: what was seen is kept as a sum that does not grow."""

from typing import Any

from stlm.registry import component, derived, option, positive
from stlm_attention.components.running import RunningOptions


def _quotient(hidden_dim: int, num_heads: int) -> int:
    if hidden_dim % num_heads:
        raise ValueError(
            f"`hidden_dim` {hidden_dim} cannot be split evenly among `num_heads` {num_heads}; "
            "choose another number of heads, or say the width of a head by `head_dim`"
        )
    return hidden_dim // num_heads


@component("attention", "linear")
class Linear(RunningOptions):
    """Causal attention with elu + 1 in the place of a softmax (Katharopoulos et al., 2020; arXiv:2006.16236)."""

    head_dim: int = option(
        positive,
        default=derived(_quotient, "model.hidden_dim", "num_heads", says="`hidden_dim` / `num_heads`"),
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
