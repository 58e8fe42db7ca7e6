"""Attention with linear biases: what is farther away counts less."""

from typing import Any

from stlm.components.attention.options import SelfAttentionOptions
from stlm.components.positional_encoding.options import acts_on
from stlm.registry import component, rule


@component("attention", "alibi")
class Alibi(SelfAttentionOptions):
    """Causal self-attention whose scores fall linearly with distance (Press et al., 2021; arXiv:2108.12409)."""

    @rule("attn_type", "model.positional_encoding_type")
    def biases_are_the_only_positions(attn_type: str, positional_encoding_type: str) -> str | None:
        """There is no other positional encoding: the biases take its place."""
        if not acts_on(positional_encoding_type):
            return None
        return (
            f"`{attn_type}` tells positions by its biases and goes with no other encoding, and "
            f"`positional_encoding_type` is `{positional_encoding_type}`; set `positional_encoding_type: none`"
        )

    def build(self, model: Any) -> Any:
        """Build the attention with its norms."""
        from stlm_attention.nn.alibi import AlibiAttention

        return AlibiAttention(model.hidden_dim, causal=True, **self.parts(model))
