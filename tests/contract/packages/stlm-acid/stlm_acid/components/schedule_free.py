"""Schedule-free AdamW: an average of the weights in the place of a decaying learning rate."""

from typing import Any

from stlm.registry import below, component, hook, non_negative, option, positive


@component("optimizer", "schedule_free")
class ScheduleFree:
    """AdamW that trains at one point and is evaluated at another, the average (Defazio et al., 2024; arXiv:2405.15682).

    Evaluations, checkpoints and the trained model have the average; the steps between are taken where training is.
    """

    state_per_parameter = 3  # the average, the fast iterate, and the mean of squared gradients

    lr: float = option(positive, default=2.5e-3, doc="The learning rate after the warm-up; it needs no decay.")
    weight_decay: float = option(non_negative, default=0.0, doc="Weight decay of matrices other than embeddings.")
    beta1: float = option(below(0.0, 1.0), default=0.9, doc="How near to the average the training point is.")
    beta2: float = option(below(0.0, 1.0), default=0.999, doc="Decay of the running mean of squared gradients.")
    grad_clip: float = option(non_negative, default=0.0, doc="Largest norm of the whole gradient; 0 turns it off.")

    def build(self, trainer: Any, network: Any, device: Any) -> Any:
        """Return the optimizer with two groups: matrices, which decay; and embeddings, norms, biases, which do not."""
        from torch import nn

        from stlm_acid.nn.schedule_free import ScheduleFreeAdamW

        trainable = [p for p in network.parameters() if p.requires_grad]
        tables = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
        decay = [p.ndim >= 2 and id(p) not in tables for p in trainable]
        groups = [
            {"params": [p for p, yes in zip(trainable, decay, strict=True) if yes], "weight_decay": self.weight_decay},
            {"params": [p for p, yes in zip(trainable, decay, strict=True) if not yes], "weight_decay": 0.0},
        ]
        return ScheduleFreeAdamW([g for g in groups if g["params"]], lr=self.lr, betas=(self.beta1, self.beta2))

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
