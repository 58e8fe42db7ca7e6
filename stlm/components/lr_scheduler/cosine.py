"""Linear warm-up, then half a cosine from the optimizer's `lr` down to its `min_lr`, and `min_lr` ever after."""

from collections.abc import Callable
from typing import Any

from stlm.components.lr_scheduler.curves import curve
from stlm.components.lr_scheduler.options import DecayOptions, ends
from stlm.registry import component


@component("lr_scheduler", "cosine")
class Cosine(DecayOptions):
    """Warm up linearly to `lr`, then decay to `min_lr` along half a cosine (Loshchilov and Hutter, 2017).

    Source: arXiv:1608.03983, without its restarts; the warm-up is not in the paper.

    The learning rate of optimizer step ``s``, counted from 0, with ``w = warmup_iters`` and ``d = lr_decay_iters``:

    - ``s < w``: ``lr · (s + 1) / w``: no step has a rate of 0, and the last step of the warm-up has all of ``lr``;
    - ``w ≤ s < d``: ``min_lr + (lr − min_lr) / 2 · (1 + cos(π · (s − w) / (d − w)))``;
    - ``s ≥ d``: ``min_lr``.

    With ``decay_lr: false`` the rate stays at ``lr`` after the warm-up. An optimizer without a ``min_lr`` decays to 0.
    """

    def build(self, trainer: Any) -> Callable[[int], float]:
        """Return the learning rate as a function of the optimizer step, counted from 0."""
        return curve(*ends(trainer), warmup=self.warmup_iters, decay=self.decay, shape="cosine")
