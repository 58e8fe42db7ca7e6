"""The logistic function."""

from typing import Any

from stlm.registry import component


@component("activation", "sigmoid")
class Sigmoid:
    """Logistic sigmoid, 1 / (1 + exp(-x)), as in the networks of Rumelhart et al., 1986."""

    def build(self, model: Any) -> Any:
        """Build the activation as a module."""
        from torch import nn

        return nn.Sigmoid()
