"""Layer normalization: subtract the mean, divide by the standard deviation."""

from typing import Any

from stlm.registry import component


@component("norm", "layer_norm")
class LayerNorm:
    """Layer normalization with a learned weight and bias (Ba et al., 2016; arXiv:1607.06450)."""

    def build(self, model: Any, dim: int) -> Any:
        """Build a norm of ``dim`` elements."""
        from stlm.nn.norm import LayerNorm as Norm

        return Norm(dim, eps=model.norm_eps)
