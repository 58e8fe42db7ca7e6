"""The rectifier with a slope below zero."""

from typing import Any

from stlm.registry import component, non_negative, option


@component("activation", "leakyrelu")
class LeakyReLU:
    """Rectified linear unit that lets a share of negative values pass (Maas et al., 2013)."""

    negative_slope: float = option(non_negative, default=0.01, doc="Slope below zero; torch's own default.")

    def build(self, model: Any) -> Any:
        """Build the activation as a module."""
        from torch import nn

        return nn.LeakyReLU(self.negative_slope)
