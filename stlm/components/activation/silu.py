"""The sigmoid linear unit."""

from typing import Any

from stlm.registry import component


@component("activation", "silu")
class SiLU:
    """Sigmoid linear unit, x · sigmoid(x), also called swish (Elfwing et al., 2017; arXiv:1702.03118)."""

    def build(self, model: Any) -> Any:
        """Build the activation as a module."""
        from torch import nn

        return nn.SiLU()
