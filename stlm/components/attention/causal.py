"""Causal attention: what a decoder uses."""

from typing import Any

from stlm.components.attention.options import SelfAttentionOptions
from stlm.registry import component


@component("attention", "causal")
class CausalAttention(SelfAttentionOptions):
    """Multi-head self-attention in which a position sees itself and what precedes it (Vaswani et al., 2017)."""

    def build(self, model: Any) -> Any:
        """Build the attention, with a causal mask."""
        return self.assemble(model, causal=True)
