"""The feed-forward network that is gated by a rectifier."""

from typing import Any

from stlm.components.ffn.options import GatedOptions
from stlm.registry import component


@component("ffn", "reglu")
class ReGLU(GatedOptions):
    """ReLU of one projection times another, projected back: "ReGLU" (Shazeer, 2020; arXiv:2002.05202)."""

    def build(self, model: Any) -> Any:
        """Build the network with its norm."""
        from torch import nn

        return self.assemble(model, nn.ReLU())
