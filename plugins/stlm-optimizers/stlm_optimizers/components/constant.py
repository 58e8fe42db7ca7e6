"""Linear warm-up, then one rate for good."""

from collections.abc import Callable
from typing import Any

from stlm.components.lr_scheduler.curves import curve
from stlm.components.lr_scheduler.options import WarmupOptions, ends
from stlm.registry import component


@component("lr_scheduler", "constant")
class Constant(WarmupOptions):
    """Warm up linearly to `lr`, then stay there; `min_lr` means nothing.

    For optimizers that average their weights, which takes the place of a decay.
    """

    def build(self, trainer: Any) -> Callable[[int], float]:
        """Return the learning rate as a function of the optimizer step, counted from 0."""
        return curve(*ends(trainer), warmup=self.warmup_iters)
