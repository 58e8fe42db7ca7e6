"""The classic feed-forward network."""

from typing import Any

from stlm.components.ffn.options import FeedForwardOptions
from stlm.registry import choice, component


@component("ffn", "generic")
class GenericFFN(FeedForwardOptions):
    """Two linear layers around an activation (Vaswani et al., 2017; arXiv:1706.03762)."""

    activation: Any = choice("activation", default="gelu", doc="Function between the two layers.")

    def build(self, model: Any) -> Any:
        """Build the network with its norm."""
        return self.assemble(model, self.activation.build(model))
