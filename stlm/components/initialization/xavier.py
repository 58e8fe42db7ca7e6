"""Xavier initialization: a scale that suits the forward and the backward pass alike."""

from typing import Any

from stlm.registry import component, option, positive


@component("initialization", "xavier")
class Xavier:
    """Draws each projection from N(0, gain · √(2 / (fan_in + fan_out))), biases 0 (Glorot and Bengio, 2010).

    Embeddings and the map to the vocabulary start from N(0, min(0.02, 0.5 / √hidden_dim)), so that an untrained model
    guesses evenly.
    """

    gain: float = option(positive, default=1.0, doc="Factor on the standard deviation.")

    def build(self, model: Any) -> Any:
        """Build the scheme."""
        from stlm.nn.schemes import Xavier as Scheme

        return Scheme(self.gain)
