"""The classic feed-forward network."""

from typing import Any

from stlm.registry import choice, component, dropout_rate, option, positive


@component("ffn", "generic")
class GenericFFN:
    """Two linear layers around an activation (Vaswani et al., 2017; arXiv:1706.03762)."""

    ffn_dim: int = option(positive, doc="Width between the two layers, commonly 4 × `hidden_dim`.")
    activation: Any = choice("activation", default="gelu", doc="Function between the two layers.")
    bias: bool = option(default=False, doc="Whether the two layers have a bias.")
    ffn_dropout: float = option(dropout_rate, default=0.0, doc="Dropout at the start of the block, after its norm.")
    normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")

    def build(self, model: Any) -> Any:
        """Build the network with its norm."""
        from stlm.nn.feed_forward import FeedForward

        return FeedForward(
            model.hidden_dim,
            self.ffn_dim,
            activation=self.activation.build(model),
            norm=self.normalization.build(model, model.hidden_dim),
            bias=self.bias,
            dropout=self.ffn_dropout,
        )
