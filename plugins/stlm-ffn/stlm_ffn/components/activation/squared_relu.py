"""The square of the rectifier."""

from typing import Any

from stlm.registry import component


@component("activation", "squared_relu")
class SquaredReLU:
    """Square of the rectified linear unit, max(x, 0)² (So et al., 2021; arXiv:2109.08668)."""

    def build(self, model: Any) -> Any:
        """Build the activation as a module."""
        from stlm_ffn.nn.squared_relu import SquaredReLU as Module

        return Module()
