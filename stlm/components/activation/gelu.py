"""The exact Gaussian error linear unit."""

from typing import Any

from stlm.registry import component


@component("activation", "gelu")
class GELU:
    """Gaussian error linear unit, x · Φ(x), in its exact form (Hendrycks and Gimpel, 2016; arXiv:1606.08415)."""

    def build(self, model: Any) -> Any:
        """Build the activation as a module."""
        from torch import nn

        return nn.GELU()
