"""The options that the optimizers have in common."""

from stlm.registry import non_negative, option, rule, section

LR = "The highest learning rate, reached at the end of the warm-up."
DECAY = "Share of a weight, times the learning rate, that a step takes off it; biases and norms are not decayed."


@section
class ClippedOptions:
    """How long a gradient may be."""

    grad_clip: float = option(
        non_negative,
        default=1.0,
        doc="Largest norm of the whole gradient, which is scaled down to it; 0 turns it off.",
    )


@section
class ScheduledOptions(ClippedOptions):
    """How far the rate may fall."""

    min_lr: float = option(non_negative, default=0.0, doc="The learning rate at which a decay ends.")

    @rule("min_lr", "lr")
    def the_floor_is_not_above_the_peak(min_lr: float, lr: float) -> str | None:
        """`min_lr` must not be above `lr`."""
        return f"`min_lr` is {min_lr}, above `lr`, which is {lr}" if min_lr > lr else None
