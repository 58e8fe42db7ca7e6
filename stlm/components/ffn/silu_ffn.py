"""The gated feed-forward network of Llama and its kin."""

from typing import Any

from stlm.components.ffn.options import GatedOptions
from stlm.registry import component


@component("ffn", "silu_ffn")
class SiLUFFN(GatedOptions):
    """SiLU of one projection times another, projected back: "SwiGLU" (Shazeer, 2020; arXiv:2002.05202)."""

    def build(self, model: Any) -> Any:
        """Build the network with its norm."""
        from torch import nn

        return self.assemble(model, nn.SiLU())
