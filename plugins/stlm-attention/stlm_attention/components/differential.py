"""Differential attention: what two softmax maps have in common is taken away."""

from typing import Any

from stlm.components.attention.options import uneven_groups
from stlm.registry import choice, component, derived, option, positive, rule, same_as


def _half_of_a_head(hidden_dim: int, num_q_heads: int) -> int:
    if hidden_dim % (2 * num_q_heads):
        raise ValueError(
            f"`hidden_dim` {hidden_dim} cannot be split evenly among `num_q_heads` {num_q_heads}, each with two maps; "
            "choose another number of heads, or say the width of a map's q and k by `head_dim`"
        )
    return hidden_dim // (2 * num_q_heads)


@component("attention", "differential")
class Differential:
    """Causal attention by the difference of two softmax maps, which cancels noise (Ye et al., 2024; arXiv:2410.05258).

    λ, the weight of the second map, is learned in each layer, from 0.2 in the first toward 0.8 in deep ones.
    """

    num_kv_heads: int = option(
        positive, doc="Number of heads of keys and values; each has two keys, and a value of twice their width."
    )
    num_q_heads: int = option(
        positive,
        default=same_as("num_kv_heads"),
        doc="Number of heads of queries, each with two; a multiple of `num_kv_heads`. Half as many as in `causal` "
        "have as many weights.",
    )
    head_dim: int = option(
        positive,
        default=derived(_half_of_a_head, "model.hidden_dim", "num_q_heads", says="`hidden_dim` / (2 · `num_q_heads`)"),
        doc="Width of q and k in each map; a head's value is twice as wide.",
    )
    bias: bool = option(default=False, doc="Whether the projections to q, k and v, and the one back, have a bias.")
    normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")
    head_norm: Any = choice(
        "norm", default="rms_norm", doc="Norm of each head's result by itself; its weight is one for all heads."
    )

    @rule("num_q_heads", "num_kv_heads")
    def groups_divide_evenly(num_q_heads: int, num_kv_heads: int) -> str | None:
        """The number of query heads is a multiple of the number of key/value heads."""
        return uneven_groups(num_q_heads, num_kv_heads)

    def build(self, model: Any, layer: int = 0) -> Any:
        """Build the attention of a layer, by which λ starts."""
        from stlm_attention.nn.differential import DifferentialAttention, lambda_init

        return DifferentialAttention(
            model.hidden_dim,
            num_q_heads=self.num_q_heads,
            num_kv_heads=self.num_kv_heads,
            head_dim=self.head_dim,
            lambda_init=lambda_init(layer),
            norm=self.normalization.build(model, model.hidden_dim),
            head_norm=self.head_norm.build(model, 2 * self.head_dim),
            bias=self.bias,
        )
