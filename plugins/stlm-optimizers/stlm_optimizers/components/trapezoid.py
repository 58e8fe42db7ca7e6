"""A line up, a plateau, a line down."""

from collections.abc import Callable
from typing import Any

from stlm.components.lr_scheduler.curves import curve
from stlm.components.lr_scheduler.options import ends
from stlm.registry import component
from stlm_optimizers.components.schedule_options import PlateauOptions


@component("lr_scheduler", "trapezoid")
class Trapezoid(PlateauOptions):
    """Warm up linearly to `lr`, stay there, and cool down to `min_lr` linearly (Zhai et al., 2022; arXiv:2106.04560).

    It is `wsd` with ``decay_shape: linear``, number for number, under the name that the shape has gone by since.
    """

    def build(self, trainer: Any) -> Callable[[int], float]:
        """Return the learning rate as a function of the optimizer step, counted from 0."""
        return curve(*ends(trainer), warmup=self.warmup_iters, decay=self.decay)
