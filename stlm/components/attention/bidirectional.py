"""Bidirectional attention: what an encoder uses."""

from typing import Any

from stlm.components.attention.options import SelfAttentionOptions
from stlm.registry import component


@component("attention", "bidirectional")
class BidirectionalAttention(SelfAttentionOptions):
    """Multi-head self-attention in which every position sees every other (Devlin et al., 2018; arXiv:1810.04805)."""

    def build(self, model: Any) -> Any:
        """Build the attention, without a mask."""
        return self.assemble(model, causal=False)
