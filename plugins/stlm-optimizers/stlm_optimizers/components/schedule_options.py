"""The options of the schedules that stay at their peak; the rest are those that stlm's own have."""

import math

from stlm.components.lr_scheduler.options import DecayOptions
from stlm.registry import derived, non_negative, option, rule, section


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
