"""Linear warm-up, then a straight line down from the optimizer's `lr` to its `min_lr`, and `min_lr` ever after."""

from collections.abc import Callable
from typing import Any

from stlm.components.lr_scheduler.curves import curve
from stlm.components.lr_scheduler.options import DecayOptions, ends
from stlm.registry import component


@component("lr_scheduler", "linear")
class Linear(DecayOptions):
    """Warm up linearly to `lr`, then decay to `min_lr` along a straight line, as BERT did (Devlin et al., 2019).

    The line begins at the end of the warm-up and ends at `lr_decay_iters`. Decaying to 0 so is near the best that is
    known where the length of a run is (Defazio et al., 2023; arXiv:2310.07831).
    """

    def build(self, trainer: Any) -> Callable[[int], float]:
        """Return the learning rate as a function of the optimizer step, counted from 0."""
        return curve(*ends(trainer), warmup=self.warmup_iters, decay=self.decay)
