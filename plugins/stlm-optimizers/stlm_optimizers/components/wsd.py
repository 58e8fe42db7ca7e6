"""Warm up, stay, decay: a run whose length may still change while it is at its peak."""

from collections.abc import Callable
from typing import Any, Literal

from stlm.components.lr_scheduler.curves import curve
from stlm.components.lr_scheduler.options import ends
from stlm.registry import component, option
from stlm_optimizers.components.schedule_options import PlateauOptions


@component("lr_scheduler", "wsd")
class WSD(PlateauOptions):
    """Warm up linearly to `lr`, stay there, then decay to `min_lr` (Hu et al., 2024; arXiv:2404.06395).

    The decay takes `decay_iters` steps and ends at `lr_decay_iters`; after it the rate is `min_lr`. A checkpoint from
    before the decay can go on with a larger `max_iters`. With ``x`` from 0 to 1 over the decay, what is left of the way
    from `min_lr` to `lr` is

    - ``1 − √x`` for `1-sqrt`, the best of those compared by Hägele et al. (2024; arXiv:2405.18392);
    - ``1 − x`` for `linear`, which is `trapezoid`;
    - ``(1 + cos(π · x)) / 2`` for `cosine`.

    MiniCPM's own decay, an exponential one, is none of them.
    """

    decay_shape: Literal["1-sqrt", "linear", "cosine"] = option(
        default="1-sqrt", doc="How the rate falls from the optimizer's lr to its min_lr."
    )

    def build(self, trainer: Any) -> Callable[[int], float]:
        """Return the learning rate as a function of the optimizer step, counted from 0."""
        return curve(*ends(trainer), warmup=self.warmup_iters, decay=self.decay, shape=self.decay_shape)
