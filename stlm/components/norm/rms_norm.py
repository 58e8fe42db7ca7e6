"""RMS normalization: divide by the root mean square, subtract no mean."""

from typing import Any

from stlm.registry import component


@component("norm", "rms_norm")
class RMSNorm:
    """Root-mean-square normalization with a learned weight (Zhang and Sennrich, 2019; arXiv:1910.07467)."""

    def build(self, model: Any, dim: int) -> Any:
        """Build a norm of ``dim`` elements."""
        from stlm.nn.norm import RMSNorm as Norm

        return Norm(dim, eps=model.norm_eps)
