"""Lion: the sign of a momentum, at half of Adam's memory."""

from typing import Any

from stlm.registry import below, component, non_negative, option, positive
from stlm_optimizers.components.optimizer_options import DECAY, LR, ScheduledOptions


@component("optimizer", "Lion")
class Lion(ScheduledOptions):
    """Step by the sign of a momentum, found by evolution (Chen et al., 2023; arXiv:2302.06675).

    Every weight moves by the same length, so the rate should be 3 to 10 times lower than AdamW's, and the decay
    as many times higher. What is decayed is what AdamW decays: matrices and embeddings.
    """

    state_per_parameter = 1  # values that a dry run counts for each trainable parameter: the momentum

    lr: float = option(positive, default=1e-4, doc=LR)
    weight_decay: float = option(non_negative, default=0.1, doc=DECAY)
    beta1: float = option(
        below(0.0, 1.0), default=0.9, doc="Share of the momentum, beside the gradient, in the direction of a step."
    )
    beta2: float = option(below(0.0, 1.0), default=0.99, doc="Decay of the momentum.")

    def build(self, trainer: Any, network: Any, device: Any) -> Any:
        """Return the optimizer over the trainable parameters of ``network``, each shared one once."""
        from stlm.training.parameters import decay_groups
        from stlm_optimizers.optim.lion import Lion as Optimizer

        return Optimizer(decay_groups(network, self.weight_decay), lr=self.lr, betas=(self.beta1, self.beta2))
