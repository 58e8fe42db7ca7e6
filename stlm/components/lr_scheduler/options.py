"""The options that schedules have in common: how the rate rises, and when it falls."""

import math
from typing import Any

from stlm.registry import non_negative, option, positive, rule, same_as, section


def ends(trainer: Any) -> tuple[float, float]:
    """Return the highest rate and the lowest: the optimizer's `lr` and `min_lr`, which is 0 where it has none."""
    return trainer.optimizer.lr, getattr(trainer.optimizer, "min_lr", 0.0)


@section
class WarmupOptions:
    """How the rate rises."""

    warmup_iters: int = option(
        non_negative, doc="Optimizer steps over which the learning rate rises linearly from lr / warmup_iters to lr."
    )

    @rule("warmup_iters", "trainer.max_iters")
    def warmup_ends_within_the_run(warmup_iters: int, max_iters: int) -> str | None:
        """The warm-up must not be longer than the run."""
        if warmup_iters > max_iters:
            return f"`warmup_iters` is {warmup_iters}, longer than the whole run of {max_iters} steps (`max_iters`)"
        return None


@section
class DecayOptions(WarmupOptions):
    """When the rate falls."""

    decay_lr: bool = option(
        default=True, doc="Whether the learning rate decays after the warm-up; if not, it stays at the optimizer's lr."
    )
    lr_decay_iters: int = option(
        positive,
        default=same_as("trainer.max_iters"),
        doc="The optimizer step, warm-up included, from which on the learning rate is the optimizer's min_lr, or 0.",
    )

    @rule("warmup_iters", "lr_decay_iters", "decay_lr", "trainer.max_iters")
    def warmup_ends_before_the_decay(
        warmup_iters: int, lr_decay_iters: int, decay_lr: bool, max_iters: int
    ) -> str | None:
        """The warm-up must not be longer than `lr_decay_iters`, which counts from the first step."""
        if decay_lr and lr_decay_iters < warmup_iters <= max_iters:  # beyond max_iters, the rule above has said enough
            return f"`warmup_iters` is {warmup_iters}, longer than `lr_decay_iters`, which is {lr_decay_iters}"
        return None

    @property
    def decay(self) -> tuple[float, float]:
        """The step at which the decay begins, and the one at which it has ended; never, where `decay_lr` is false."""
        return (self.warmup_iters, self.lr_decay_iters) if self.decay_lr else (math.inf, math.inf)
