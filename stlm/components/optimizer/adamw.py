"""AdamW: Adam with weight decay that does not pass through the moments."""

from typing import Any

from stlm.components.optimizer.options import (
    FallingRate,
    decoupled_decay,
    gradient_clipping,
    learning_rate,
    lowest_rate,
)
from stlm.registry import below, component, option


@component("optimizer", "AdamW")
class AdamW(FallingRate):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019; arXiv:1711.05101).

    Only tensors with two dimensions or more are decayed: matrices and embeddings, but no biases and no norms' weights.
    The moments are those of `torch.optim.AdamW`, bias correction included, with its epsilon of 1e-8.
    """

    state_per_parameter = 2  # values that a dry run counts for each trainable parameter, in its format: the two moments

    lr: float = learning_rate(6e-4)
    min_lr: float = lowest_rate(6e-6)
    weight_decay: float = decoupled_decay(0.01)
    beta1: float = option(
        below(0.0, 1.0), default=0.9, doc="Decay of the running mean of gradients. In place of `betas`, with `beta2`."
    )
    beta2: float = option(
        below(0.0, 1.0),
        default=0.999,
        doc="Decay of the running mean of squared gradients. In place of `betas`, with `beta1`.",
    )
    grad_clip: float = gradient_clipping()

    def build(self, trainer: Any, network: Any, device: Any) -> Any:
        """Return a `torch.optim.AdamW` over the trainable parameters of ``network``, each shared one once."""
        import torch

        from stlm.training.parameters import decay_groups

        groups = decay_groups(network, self.weight_decay)
        on_cuda = torch.device(device).type == "cuda"
        kernel = {"fused": True} if on_cuda else {"foreach": True}
        return torch.optim.AdamW(groups, lr=self.lr, betas=(self.beta1, self.beta2), **kernel)
