"""The gated feed-forward network of Gemma and of T5 1.1."""

from typing import Any, Literal

from stlm.components.ffn.options import GatedOptions
from stlm.registry import component, option


@component("ffn", "geglu")
class GEGLU(GatedOptions):
    """GELU of one projection times another, projected back: "GEGLU" (Shazeer, 2020; arXiv:2002.05202)."""

    approximate: Literal["none", "tanh"] = option(
        default="none",
        doc="`none` for the exact GELU, `tanh` for its approximation, with which Gemma and T5 1.1 were trained.",
    )

    def build(self, model: Any) -> Any:
        """Build the network with its norm."""
        from torch import nn

        return self.assemble(model, nn.GELU(approximate=self.approximate))
