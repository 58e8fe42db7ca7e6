"""GPT-2's own form of gelu."""

from typing import Any

from stlm.registry import component


@component("activation", "gelu_tanh")
class GELUTanh:
    """Gaussian error linear unit, by the tanh that GPT-2 uses (Hendrycks and Gimpel, 2016; arXiv:1606.08415)."""

    def build(self, model: Any) -> Any:
        """Build the activation as a module."""
        from torch import nn

        return nn.GELU(approximate="tanh")
