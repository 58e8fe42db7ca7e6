"""PyTorch's own start."""

from typing import Any

from stlm.registry import component


@component("initialization", "none")
class NoInitialization:
    """PyTorch's own start of each module, left as it is; of two tied weights it is the head's."""

    def build(self, model: Any) -> Any:
        """Build the scheme that changes nothing."""
        from stlm.nn.schemes import keep

        return keep
