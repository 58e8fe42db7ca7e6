"""The gated feed-forward network of Gemma and of T5 1.1."""

from typing import Any, Literal

from stlm.registry import choice, component, option, positive


@component("ffn", "geglu")
class GEGLU:
    """GELU of one projection times another, projected back: "GEGLU" (Shazeer, 2020; arXiv:2002.05202)."""

    ffn_dim: int = option(positive, doc="Width of the two projections, commonly 8/3 × `hidden_dim`.")
    approximate: Literal["none", "tanh"] = option(
        default="none",
        doc="`none` for the exact GELU, `tanh` for its approximation, with which Gemma and T5 1.1 were trained.",
    )
    bias: bool = option(default=False, doc="Whether the three projections have a bias.")
    normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")

    def build(self, model: Any) -> Any:
        """Build the network with its norm."""
        from torch import nn

        from stlm.nn import GatedFeedForward

        return GatedFeedForward(
            model.hidden_dim,
            self.ffn_dim,
            activation=nn.GELU(approximate=self.approximate),
            norm=self.normalization.build(model, model.hidden_dim),
            bias=self.bias,
        )
