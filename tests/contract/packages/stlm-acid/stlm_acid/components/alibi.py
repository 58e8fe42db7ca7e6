"""Attention with linear biases: what is farther away counts less."""

from typing import Any

from stlm.registry import choice, component, option, positive, rule


@component("attention", "alibi")
class Alibi:
    """Causal self-attention whose scores fall linearly with distance (Press et al., 2022; arXiv:2108.12409)."""

    num_heads: int = option(positive, doc="Number of heads, each with a slope of its own; divides `hidden_dim`.")
    normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")

    @rule("num_heads", "model.hidden_dim")
    def heads_divide_evenly(num_heads: int, hidden_dim: int) -> str | None:
        """The hidden width splits evenly among the heads."""
        if hidden_dim % num_heads:
            return f"`hidden_dim` {hidden_dim} cannot be split evenly among `num_heads` {num_heads}"
        return None

    @rule("attn_type", "model.positional_encoding_type")
    def biases_are_the_only_positions(attn_type: str, positional_encoding_type: str) -> str | None:
        """There is no other positional encoding: the biases take its place."""
        if positional_encoding_type != "none":
            return f"`{attn_type}` knows positions by itself; set `positional_encoding_type: none`"
        return None

    def build(self, model: Any) -> Any:
        """Build the attention with its norm."""
        from stlm_acid.nn.alibi import AlibiAttention

        return AlibiAttention(model.hidden_dim, self.num_heads, norm=self.normalization.build(model, model.hidden_dim))
