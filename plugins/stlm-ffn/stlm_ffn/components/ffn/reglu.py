"""The feed-forward network that is gated by a rectifier."""

from typing import Any

from stlm.registry import choice, component, option, positive


@component("ffn", "reglu")
class ReGLU:
    """ReLU of one projection times another, projected back: "ReGLU" (Shazeer, 2020; arXiv:2002.05202)."""

    ffn_dim: int = option(positive, doc="Width of the two projections, commonly 8/3 × `hidden_dim`.")
    bias: bool = option(default=False, doc="Whether the three projections have a bias.")
    normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")

    def build(self, model: Any) -> Any:
        """Build the network with its norm."""
        from torch import nn

        from stlm.nn import GatedFeedForward

        norm = self.normalization.build(model, model.hidden_dim)
        return GatedFeedForward(model.hidden_dim, self.ffn_dim, activation=nn.ReLU(), norm=norm, bias=self.bias)
