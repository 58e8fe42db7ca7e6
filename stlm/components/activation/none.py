"""No activation."""

from typing import Any

from stlm.registry import component


@component("activation", "none")
class NoActivation:
    """No activation: the two layers around it compute one linear map of lower rank or the same."""

    def build(self, model: Any) -> Any:
        """Build a module that hands on what it gets."""
        from torch import nn

        return nn.Identity()
