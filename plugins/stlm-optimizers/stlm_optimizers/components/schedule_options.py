"""The options that the schedules have in common; those that `cosine` has too mean the same there."""

import math
from typing import Any

from stlm.registry import derived, non_negative, option, positive, rule, same_as, section


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
        default=True, doc="Whether the learning rate decays at all; if not, it stays at the optimizer's lr."
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


def _a_fifth(lr_decay_iters: int, warmup_iters: int) -> int:
    return max(0, min(math.ceil(lr_decay_iters / 5), lr_decay_iters - warmup_iters))


@section
class PlateauOptions(DecayOptions):
    """How long the rate falls, after it has stayed at its peak."""

    decay_iters: int = option(
        non_negative,
        default=derived(
            _a_fifth,
            "lr_decay_iters",
            "warmup_iters",
            says="a fifth of `lr_decay_iters`, or what `warmup_iters` leaves of it where that is less",
        ),
        doc="Optimizer steps of the decay, which ends at `lr_decay_iters`; before it the rate stays at the "
        "optimizer's lr.",
    )

    @rule("decay_iters", "warmup_iters", "lr_decay_iters", "decay_lr")
    def the_decay_begins_after_the_warmup(
        decay_iters: int, warmup_iters: int, lr_decay_iters: int, decay_lr: bool
    ) -> str | None:
        """`warmup_iters` and `decay_iters` together must not be longer than `lr_decay_iters`."""
        if decay_lr and warmup_iters <= lr_decay_iters < warmup_iters + decay_iters:
            return (
                f"`decay_iters` is {decay_iters}, but of `lr_decay_iters` {lr_decay_iters} steps the warm-up leaves "
                f"{lr_decay_iters - warmup_iters}"
            )
        return None

    @property
    def decay(self) -> tuple[float, float]:
        """The step at which the decay begins, and the one at which it has ended; never, where `decay_lr` is false."""
        if not self.decay_lr:
            return math.inf, math.inf
        return self.lr_decay_iters - self.decay_iters, self.lr_decay_iters
