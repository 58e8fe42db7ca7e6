"""Linear warm-up, then half a cosine from the optimizer's `lr` down to its `min_lr`, and `min_lr` ever after."""

import math
from collections.abc import Callable
from typing import Any

from stlm.registry import component, non_negative, option, positive, rule, same_as


@component("lr_scheduler", "cosine")
class Cosine:
    """Warm up linearly to `lr`, then decay to `min_lr` along half a cosine (Loshchilov and Hutter, 2017).

    Source: arXiv:1608.03983, without its restarts; the warm-up is not in the paper.

    The learning rate of optimizer step ``s``, counted from 0, with ``w = warmup_iters`` and ``d = lr_decay_iters``:

    - ``s < w``: ``lr · (s + 1) / w``: no step has a rate of 0, and the last step of the warm-up has all of ``lr``;
    - ``w ≤ s < d``: ``min_lr + (lr − min_lr) / 2 · (1 + cos(π · (s − w) / (d − w)))``;
    - ``s ≥ d``: ``min_lr``.

    With ``decay_lr: false`` the rate stays at ``lr`` after the warm-up. An optimizer without a ``min_lr`` decays to 0.
    """

    warmup_iters: int = option(
        non_negative, doc="Optimizer steps over which the learning rate rises linearly from lr / warmup_iters to lr."
    )
    decay_lr: bool = option(
        default=True, doc="Whether the learning rate decays after the warm-up; if not, it stays at the optimizer's lr."
    )
    lr_decay_iters: int = option(
        positive,
        default=same_as("trainer.max_iters"),
        doc="The optimizer step, warm-up included, from which on the learning rate is the optimizer's min_lr, or 0.",
    )

    @rule("warmup_iters", "trainer.max_iters")
    def warmup_ends_within_the_run(warmup_iters, max_iters):
        """The warm-up must not be longer than the run."""
        if warmup_iters > max_iters:
            return f"`warmup_iters` is {warmup_iters}, longer than the whole run of {max_iters} steps (`max_iters`)"

    @rule("warmup_iters", "lr_decay_iters", "decay_lr", "trainer.max_iters")
    def warmup_ends_before_the_decay(warmup_iters, lr_decay_iters, decay_lr, max_iters):
        """The warm-up must not be longer than `lr_decay_iters`, which counts from the first step."""
        if decay_lr and lr_decay_iters < warmup_iters <= max_iters:  # beyond max_iters, the rule above has said enough
            return f"`warmup_iters` is {warmup_iters}, longer than `lr_decay_iters`, which is {lr_decay_iters}"

    def build(self, trainer: Any) -> Callable[[int], float]:
        """Return the learning rate as a function of the optimizer step, counted from 0."""
        peak, floor = trainer.optimizer.lr, getattr(trainer.optimizer, "min_lr", 0.0)
        warmup, end = self.warmup_iters, self.lr_decay_iters

        def rate(step: int) -> float:
            if step < warmup:
                return peak * (step + 1) / warmup
            if not self.decay_lr:
                return peak
            if step >= end:
                return floor
            progress = (step - warmup) / (end - warmup)
            return floor + (peak - floor) / 2 * (1 + math.cos(math.pi * progress))

        return rate
