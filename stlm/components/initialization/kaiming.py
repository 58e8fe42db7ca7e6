"""Kaiming initialization: a scale that an activation leaves as it was."""

from typing import Any, Literal

from stlm.registry import component, option


@component("initialization", "kaiming")
class Kaiming:
    """Draws each projection from N(0, gain / √fan), biases 0 (He et al., 2015; arXiv:1502.01852).

    Embeddings and the map to the vocabulary start from N(0, min(0.02, 0.5 / √hidden_dim)), so that an untrained model
    guesses evenly. The gain is that of `torch.nn.init.calculate_gain`; torch knows none for gelu and silu, which take
    the √2 of relu, because they approach it for large inputs.
    """

    mode: Literal["fan_in", "fan_out"] = option(
        default="fan_in", doc="Whether the scale is kept in the forward (`fan_in`) or the backward pass (`fan_out`)."
    )
    nonlinearity: Literal["gelu", "silu", "relu", "leaky_relu", "tanh", "sigmoid", "selu", "linear"] = option(
        default="gelu", doc="The activation whose gain is used."
    )

    def build(self, model: Any) -> Any:
        """Build the scheme."""
        from stlm.nn.schemes import Kaiming as Scheme

        return Scheme(self.mode, self.nonlinearity)
