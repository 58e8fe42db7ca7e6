"""The rectifier."""

from typing import Any

from stlm.registry import component


@component("activation", "relu")
class ReLU:
    """Rectified linear unit, max(0, x) (Nair and Hinton, 2010)."""

    def build(self, model: Any) -> Any:
        """Build the activation as a module."""
        from torch import nn

        return nn.ReLU()
