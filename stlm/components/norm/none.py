"""No normalization."""

from typing import Any

from stlm.registry import component


@component("norm", "none")
class NoNorm:
    """No normalization: the block reads the residual stream as it is."""

    def build(self, model: Any, dim: int) -> Any:
        """Build a module that hands on what it gets."""
        from torch import nn

        return nn.Identity()
