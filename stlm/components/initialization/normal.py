"""GPT-2's start."""

import math
from typing import Any

from stlm.registry import component, derived, option, positive


def _default_std(hidden_dim: int) -> float:
    return min(0.02, 1 / math.sqrt(hidden_dim))


@component("initialization", "normal")
class Normal:
    """Draws linear layers and embeddings from a normal distribution, biases 0, as GPT-2 does (Radford et al., 2019)."""

    std: float = option(
        positive,
        default=derived(_default_std, "model.hidden_dim", says="0.02, or 1/√`hidden_dim` where that is less"),
        doc="Standard deviation of linear layers and embeddings.",
    )
    scale_residual: bool = option(
        default=True, doc="Whether projections into the residual stream are divided by √(2 · `num_layers`)."
    )

    def build(self, model: Any) -> Any:
        """Build the scheme; a core that has no `num_layers` of its own is not scaled."""
        from stlm.nn.schemes import Normal as Scheme

        num_layers = getattr(model.core_model, "num_layers", None) if self.scale_residual else None
        return Scheme(self.std, self.std / math.sqrt(2 * num_layers) if num_layers else self.std)
