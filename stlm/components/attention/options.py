"""The options that the built-in kinds of attention have in common."""

from typing import Any

from stlm.registry import choice, derived, dropout_rate, option, positive, rule, same_as, section


def even_share(heads: str, option_of_width: str = "head_dim") -> Any:
    """Return the default width of a head: that of the model, split evenly among the number that option ``heads`` says.

    Where it cannot be split, the mistake names the option by which a width can be said.
    """

    def width(hidden_dim: int, num_heads: int) -> int:
        if hidden_dim % num_heads:
            raise ValueError(
                f"`hidden_dim` {hidden_dim} cannot be split evenly among `{heads}` {num_heads}; "
                f"choose another number of heads, or say the width of a head by `{option_of_width}`"
            )
        return hidden_dim // num_heads

    return derived(width, "model.hidden_dim", heads, says=f"`hidden_dim` / `{heads}`")


def uneven_groups(num_q_heads: int, num_kv_heads: int) -> str | None:
    """Say what is wrong where the number of query heads is no multiple of that of key/value heads."""
    if num_q_heads % num_kv_heads == 0:
        return None
    return (
        f"`num_q_heads` is {num_q_heads}, which is no multiple of `num_kv_heads` {num_kv_heads}; "
        "each key/value head must serve equally many query heads"
    )


@section
class SelfAttentionOptions:
    """Heads, their width, and what stands at the entrance."""

    num_kv_heads: int = option(positive, doc="Number of heads of keys and values.")
    num_q_heads: int = option(
        positive,
        default=same_as("num_kv_heads"),
        doc="Number of heads of queries, a multiple of `num_kv_heads`; more of them is grouped-query attention.",
    )
    head_dim: int = option(
        positive,
        default=even_share("num_q_heads"),
        doc="Width of a head, where it is not the quotient of `hidden_dim` and `num_q_heads`.",
    )
    bias: bool = option(default=False, doc="Whether the projections to q, k and v, and the one back, have a bias.")
    attn_dropout: float = option(dropout_rate, default=0.0, doc="Dropout at the start of the block, after its norm.")
    normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")
    qk_norm: Any = choice(
        "norm", default="none", doc="Norm of each head's q and k, before any rotation (arXiv:2302.05442)."
    )

    @rule("num_q_heads", "num_kv_heads")
    def groups_divide_evenly(num_q_heads: int, num_kv_heads: int) -> str | None:
        """The number of query heads is a multiple of the number of key/value heads."""
        return uneven_groups(num_q_heads, num_kv_heads)

    def parts(self, model: Any) -> dict[str, Any]:
        """Return what `stlm.nn.SelfAttention` is told, but for the width of the model and whether it is causal."""
        return {
            "num_q_heads": self.num_q_heads,
            "num_kv_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "norm": self.normalization.build(model, model.hidden_dim),
            "bias": self.bias,
            "dropout": self.attn_dropout,
            "q_norm": self.qk_norm.build(model, self.head_dim),
            "k_norm": self.qk_norm.build(model, self.head_dim),
        }

    def assemble(self, model: Any, *, causal: bool) -> Any:
        """Build the attention with or without a causal mask."""
        from stlm.nn.attention import SelfAttention

        return SelfAttention(model.hidden_dim, causal=causal, **self.parts(model))
