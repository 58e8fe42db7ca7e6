"""The options that optimizers have in common: their rate, how far it falls, and how long a gradient may be."""

from typing import Any

from stlm.registry import non_negative, option, positive, rule, section


def learning_rate(default: float) -> Any:
    """Return the option `lr`."""
    return option(
        positive,
        default=default,
        doc="The highest learning rate, reached at the end of the warm-up. Also called `learning_rate`.",
    )


def lowest_rate(default: float = 0.0) -> Any:
    """Return the option `min_lr`, where schedules end; `FallingRate` has its rule."""
    return option(non_negative, default=default, doc="The learning rate at which a decay ends.")


def decoupled_decay(default: float) -> Any:
    """Return the option `weight_decay`, of what `stlm.training.parameters.decay_groups` says is decayed."""
    return option(
        non_negative,
        default=default,
        doc="Share of a weight, times the learning rate, that a step takes off it; biases and norms are not decayed.",
    )


def gradient_clipping() -> Any:
    """Return the option `grad_clip`, which the training loop goes by."""
    return option(
        non_negative,
        default=1.0,
        doc="Largest norm of the whole gradient, which is scaled down to it; 0 turns it off. "
        "Also called `max_grad_norm` or `gradient_clipping`.",
    )


@section
class FallingRate:
    """What holds of an optimizer whose rate falls from its `lr` to its `min_lr`."""

    @rule("min_lr", "lr")
    def the_floor_is_not_above_the_peak(min_lr: float, lr: float) -> str | None:
        """`min_lr` must not be above `lr`."""
        return f"`min_lr` is {min_lr}, above `lr`, which is {lr}" if min_lr > lr else None
