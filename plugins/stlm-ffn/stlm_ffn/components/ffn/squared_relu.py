"""The feed-forward network of Primer."""

from typing import Any

from stlm.registry import choice, component, dropout_rate, option, positive


@component("ffn", "squared_relu")
class SquaredReLUFFN:
    """Two linear layers around the square of a ReLU, as in Primer (So et al., 2021; arXiv:2109.08668)."""

    ffn_dim: int = option(positive, doc="Width between the two layers, commonly 4 × `hidden_dim`.")
    bias: bool = option(default=False, doc="Whether the two layers have a bias.")
    ffn_dropout: float = option(dropout_rate, default=0.0, doc="Dropout at the start of the block, after its norm.")
    normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")

    def build(self, model: Any) -> Any:
        """Build the network with its norm."""
        from stlm.nn import FeedForward
        from stlm_ffn.nn.squared_relu import SquaredReLU

        return FeedForward(
            model.hidden_dim,
            self.ffn_dim,
            activation=SquaredReLU(),
            norm=self.normalization.build(model, model.hidden_dim),
            bias=self.bias,
            dropout=self.ffn_dropout,
        )
