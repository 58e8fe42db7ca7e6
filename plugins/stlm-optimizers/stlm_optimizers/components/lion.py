"""Lion: the sign of a momentum, at half of Adam's memory."""

from typing import Any

from stlm.components.optimizer.options import (
    FallingRate,
    decoupled_decay,
    gradient_clipping,
    learning_rate,
    lowest_rate,
)
from stlm.registry import below, component, option


@component("optimizer", "Lion")
class Lion(FallingRate):
    """Step by the sign of a momentum, found by evolution (Chen et al., 2023; arXiv:2302.06675).

    Every weight moves by the same length, so the rate should be 3 to 10 times lower than AdamW's, and the decay
    as many times higher. What is decayed is what AdamW decays: matrices and embeddings.
    """

    state_per_parameter = 1  # values that a dry run counts for each trainable parameter: the momentum

    lr: float = learning_rate(1e-4)
    min_lr: float = lowest_rate()
    weight_decay: float = decoupled_decay(0.1)
    beta1: float = option(
        below(0.0, 1.0), default=0.9, doc="Share of the momentum, beside the gradient, in the direction of a step."
    )
    beta2: float = option(below(0.0, 1.0), default=0.99, doc="Decay of the momentum.")
    grad_clip: float = gradient_clipping()

    def build(self, trainer: Any, network: Any, device: Any) -> Any:
        """Return the optimizer over the trainable parameters of ``network``, each shared one once."""
        from stlm.training.parameters import decay_groups
        from stlm_optimizers.optim.lion import Lion as Optimizer

        return Optimizer(decay_groups(network, self.weight_decay), lr=self.lr, betas=(self.beta1, self.beta2))
