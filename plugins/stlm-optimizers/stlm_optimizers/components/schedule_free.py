"""Schedule-free AdamW: an average of the weights in the place of a decaying learning rate."""

from typing import Any

from stlm.components.optimizer.options import gradient_clipping
from stlm.registry import below, component, hook, non_negative, option, positive, proper_fraction, provides, rule


@component("optimizer", "schedule_free")
class ScheduleFree:
    """AdamW that trains at one point and is evaluated at another, the average (Defazio et al., 2024; arXiv:2405.15682).

    The steps are those of `schedulefree.AdamWScheduleFree`. Evaluations, checkpoints and the trained model have the
    average. The rate is to stay where the warm-up has brought it: `constant`, or a schedule with ``decay_lr: false``,
    which is the default beside this optimizer. The schedule's warm-up does what the library's own would.
    """

    state_per_parameter = 2  # the other point, z, and the mean of squared gradients

    lr: float = option(
        positive, default=2.5e-3, doc="The learning rate after the warm-up; 1 to 10 times that of AdamW."
    )
    weight_decay: float = option(
        non_negative,
        default=0.0,
        doc="Share of a weight at the training point, times the learning rate, that a step takes off it; biases and "
        "norms are not decayed.",
    )
    beta1: float = option(
        proper_fraction, default=0.9, doc="How near to the average the training point is; a long run may want 0.95."
    )
    beta2: float = option(below(0.0, 1.0), default=0.999, doc="Decay of the running mean of squared gradients.")
    grad_clip: float = gradient_clipping()

    @provides("trainer.decay_lr")
    def an_average_in_the_place_of_a_decay() -> bool:
        """false, for the average stands in the place of a decay"""
        return False

    @rule("trainer.decay_lr")
    def the_rate_does_not_decay(decay_lr: bool) -> str | None:
        """`decay_lr` must be false, where the schedule has it."""
        if not decay_lr:
            return None
        return (
            "`decay_lr` is true, but a schedule-free optimizer averages in the place of a decay; "
            "leave it out, or write `lr_scheduler: constant`"
        )

    def build(self, trainer: Any, network: Any, device: Any) -> Any:
        """Return the optimizer over the trainable parameters of ``network``, each shared one once."""
        from stlm.training.parameters import decay_groups
        from stlm_optimizers.optim.schedule_free import ExactScheduleFree

        groups = decay_groups(network, self.weight_decay)
        return ExactScheduleFree(groups, lr=self.lr, betas=(self.beta1, self.beta2))

    @hook
    def training_starts(self, run: Any) -> None:
        """Go to the training point: a run that goes on was loaded at the average."""
        run.optimizer.train()

    @hook
    def evaluation_starts(self, run: Any) -> None:
        """Go to the average."""
        run.optimizer.eval()

    @hook
    def evaluation_ends(self, run: Any) -> None:
        """Go back to the training point."""
        run.optimizer.train()

    @hook
    def checkpoint_starts(self, run: Any) -> None:
        """Go to the average, which is what a checkpoint's model is."""
        run.optimizer.eval()

    @hook
    def checkpoint_copied(self, run: Any) -> None:
        """Go back to the training point."""
        run.optimizer.train()

    @hook
    def training_ends(self, run: Any) -> None:
        """Leave the model at the average."""
        run.optimizer.eval()
