"""The hyperbolic tangent."""

from typing import Any

from stlm.registry import component


@component("activation", "tanh")
class Tanh:
    """Hyperbolic tangent, as in the networks of LeCun et al., 1998 ("Efficient BackProp")."""

    def build(self, model: Any) -> Any:
        """Build the activation as a module."""
        from torch import nn

        return nn.Tanh()
