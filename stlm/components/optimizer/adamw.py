"""AdamW: Adam with weight decay that does not pass through the moments."""

from typing import Any

from stlm.registry import below, component, non_negative, option, positive, rule


@component("optimizer", "AdamW")
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019; arXiv:1711.05101).

    Only tensors with two dimensions or more are decayed: matrices and embeddings, but no biases and no norms' weights.
    The moments are those of `torch.optim.AdamW`, bias correction included, with its epsilon of 1e-8.
    """

    state_per_parameter = 2  # values that a dry run counts for each trainable parameter, in its format: the two moments

    lr: float = option(
        positive,
        default=6e-4,
        doc="The highest learning rate, reached at the end of the warm-up. Also called `learning_rate`.",
    )
    min_lr: float = option(non_negative, default=6e-6, doc="The learning rate at which the decay ends.")
    weight_decay: float = option(
        non_negative, default=0.01, doc="Share of a weight, times the learning rate, that a step takes off it."
    )
    beta1: float = option(
        below(0.0, 1.0), default=0.9, doc="Decay of the running mean of gradients. In place of `betas`, with `beta2`."
    )
    beta2: float = option(
        below(0.0, 1.0),
        default=0.999,
        doc="Decay of the running mean of squared gradients. In place of `betas`, with `beta1`.",
    )
    grad_clip: float = option(
        non_negative,
        default=1.0,
        doc="Largest norm of the whole gradient, which is scaled down to it; 0 turns it off. "
        "Also called `max_grad_norm` or `gradient_clipping`.",
    )

    @rule("min_lr", "lr")
    def the_floor_is_not_above_the_peak(min_lr, lr):
        """`min_lr` must not be above `lr`."""
        if min_lr > lr:
            return f"`min_lr` is {min_lr}, above `lr`, which is {lr}"

    def build(self, trainer: Any, network: Any, device: Any) -> Any:
        """Return a `torch.optim.AdamW` over the trainable parameters of ``network``, each shared one once."""
        import torch

        from stlm.training.parameters import decay_groups

        groups = decay_groups(network, self.weight_decay)
        on_cuda = torch.device(device).type == "cuda"
        kernel = {"fused": True} if on_cuda else {"foreach": True}
        return torch.optim.AdamW(groups, lr=self.lr, betas=(self.beta1, self.beta2), **kernel)
