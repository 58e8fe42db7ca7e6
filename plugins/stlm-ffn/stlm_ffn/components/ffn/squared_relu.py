"""The feed-forward network of Primer."""

from typing import Any

from stlm.components.ffn.options import FeedForwardOptions
from stlm.registry import component


@component("ffn", "squared_relu")
class SquaredReLUFFN(FeedForwardOptions):
    """Two linear layers around the square of a ReLU, as in Primer (So et al., 2021; arXiv:2109.08668)."""

    def build(self, model: Any) -> Any:
        """Build the network with its norm."""
        from stlm_ffn.nn.squared_relu import SquaredReLU

        return self.assemble(model, SquaredReLU())
