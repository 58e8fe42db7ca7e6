"""Gated linear attention: a state that each token lets fade as it sees fit."""

from typing import Any

from stlm.components.positional_encoding.options import acts_on
from stlm.registry import at_least, choice, component, derived, option, positive, rule
from stlm_attention.components.running import RunningOptions


def _half_the_quotient(hidden_dim: int, num_heads: int) -> int:
    return _divided(hidden_dim, 2 * num_heads, num_heads, "key_head_dim")


def _quotient(hidden_dim: int, num_heads: int) -> int:
    return _divided(hidden_dim, num_heads, num_heads, "value_head_dim")


def _divided(hidden_dim: int, parts: int, num_heads: int, option: str) -> int:
    if hidden_dim % parts:
        raise ValueError(
            f"`hidden_dim` {hidden_dim} cannot be divided by {parts}, for `num_heads` {num_heads}; "
            f"choose another number of heads, or say the width by `{option}`"
        )
    return hidden_dim // parts


@component("attention", "gated_linear")
class GatedLinear(RunningOptions):
    """Linear attention whose state fades at rates that each token chooses (Yang et al., 2023; arXiv:2312.06635)."""

    key_head_dim: int = option(
        positive,
        default=derived(_half_the_quotient, "model.hidden_dim", "num_heads", says="`hidden_dim` / 2 / `num_heads`"),
        doc="Width of a head's queries and keys: the rows of its state.",
    )
    value_head_dim: int = option(
        positive,
        default=derived(_quotient, "model.hidden_dim", "num_heads", says="`hidden_dim` / `num_heads`"),
        doc="Width of a head's values: the columns of its state.",
    )
    decay_rank: int = option(positive, default=16, doc="Rank of the projection that the decays are made by.")
    decay_temperature: float = option(
        at_least(1),
        default=16.0,
        doc="The logarithm of a decay is divided by it; the larger, the longer is the memory.",
    )
    head_norm: Any = choice("norm", default="rms_norm", doc="Norm of each head's result, before the output gate.")

    @rule("key_head_dim", "model.positional_encoding_type")
    def keys_can_be_rotated(key_head_dim: int, positional_encoding_type: str) -> str | None:
        """Where a positional encoding acts on q and k, in pairs of elements, their width is even."""
        if key_head_dim % 2 == 0 or "qk" not in acts_on(positional_encoding_type):
            return None
        return (
            f"`key_head_dim` is {key_head_dim}, but `positional_encoding_type: {positional_encoding_type}` acts on q "
            "and k in pairs of elements; it must be even"
        )

    def build(self, model: Any) -> Any:
        """Build the attention with its norms."""
        from stlm_attention.nn.gated_linear import GatedLinearAttention

        return GatedLinearAttention(
            model.hidden_dim,
            num_heads=self.num_heads,
            key_head_dim=self.key_head_dim,
            value_head_dim=self.value_head_dim,
            decay_rank=self.decay_rank,
            decay_temperature=self.decay_temperature,
            chunk_size=self.chunk_size,
            norm=self.normalization.build(model, model.hidden_dim),
            head_norm=self.head_norm.build(model, self.value_head_dim),
            dropout=self.attn_dropout,
        )
