"""The options that feed-forward networks have in common: of those with a gate, and of those without one."""

from typing import Any

from stlm.registry import choice, dropout_rate, option, positive, section


@section
class GatedOptions:
    """Widths, biases, and what stands at the entrance."""

    ffn_dim: int = option(positive, doc="Width of the two projections, commonly 8/3 × `hidden_dim`.")
    bias: bool = option(default=False, doc="Whether the three projections have a bias.")
    normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")

    def assemble(self, model: Any, activation: Any) -> Any:
        """Build the network with its norm, gated by ``activation``, a module."""
        from stlm.nn.feed_forward import GatedFeedForward

        norm = self.normalization.build(model, model.hidden_dim)
        return GatedFeedForward(model.hidden_dim, self.ffn_dim, activation=activation, norm=norm, bias=self.bias)


@section
class FeedForwardOptions:
    """Width, biases, and what stands at the entrance."""

    ffn_dim: int = option(positive, doc="Width between the two layers, commonly 4 × `hidden_dim`.")
    bias: bool = option(default=False, doc="Whether the two layers have a bias.")
    ffn_dropout: float = option(dropout_rate, default=0.0, doc="Dropout at the start of the block, after its norm.")
    normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")

    def assemble(self, model: Any, activation: Any) -> Any:
        """Build the network with its norm around ``activation``, a module."""
        from stlm.nn.feed_forward import FeedForward

        return FeedForward(
            model.hidden_dim,
            self.ffn_dim,
            activation=activation,
            norm=self.normalization.build(model, model.hidden_dim),
            bias=self.bias,
            dropout=self.ffn_dropout,
        )
