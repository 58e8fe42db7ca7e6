"""Muon for the matrices between hidden states, AdamW for all else."""

from typing import Any, Literal

from stlm.components.optimizer.options import (
    FallingRate,
    decoupled_decay,
    gradient_clipping,
    learning_rate,
    lowest_rate,
)
from stlm.registry import below, component, non_negative, option, positive, same_as


@component("optimizer", "Muon")
class Muon(FallingRate):
    """Momentum, orthogonalized by a Newton–Schulz iteration (Jordan et al., 2024; https://kellerjordan.github.io/posts/muon/).

    Steps are those of `torch.optim.Muon`. It takes the two-dimensional weights of layers, each part of a fused q, k and
    v by itself. Embeddings, the head (tied or not), norms, biases, and what a module keeps under another name than
    ``weight`` go to AdamW, which has a rate and a decay of its own.
    """

    lr: float = learning_rate(6e-4)
    min_lr: float = lowest_rate()
    weight_decay: float = decoupled_decay(0.1)
    momentum: float = option(below(0.0, 1.0), default=0.95, doc="Decay of the running mean of gradients.")
    nesterov: bool = option(
        default=True, doc="Whether the gradient itself is looked at beside the momentum, as Nesterov does."
    )
    ns_steps: int = option(below(1, 100), default=5, doc="Steps of the iteration that makes singular values equal.")
    adjust_lr: Literal["match_rms_adamw", "original"] = option(
        default="match_rms_adamw",
        doc="What the rate of an (out, in) matrix is multiplied by. match_rms_adamw: 0.2 · √max(out, in), so that "
        "steps are as long as AdamW's and its rate and decay can be used (arXiv:2502.16982); original: "
        "√max(1, out / in), for a rate near 0.02.",
    )
    adamw_lr: float = option(
        positive,
        default=same_as("lr"),
        doc="AdamW's highest learning rate; at every step it is to the scheduled one as this is to `lr`.",
    )
    adamw_weight_decay: float = option(
        non_negative, default=same_as("weight_decay"), doc="AdamW's weight decay; norms and biases have none."
    )
    adamw_beta1: float = option(below(0.0, 1.0), default=0.9, doc="AdamW's decay of the running mean of gradients.")
    adamw_beta2: float = option(
        below(0.0, 1.0), default=0.95, doc="AdamW's decay of the running mean of squared gradients."
    )
    grad_clip: float = gradient_clipping()

    def state_bytes(self, network: Any) -> int:
        """Count a momentum for each element of a hidden matrix, and two moments for all else."""
        from stlm_optimizers.optim.matrices import hidden_matrices

        matrices = hidden_matrices(network)
        trainable = [p for p in network.parameters() if p.requires_grad]
        return sum(p.numel() * p.element_size() * (1 if p in matrices else 2) for p in trainable)

    def build(self, trainer: Any, network: Any, device: Any) -> Any:
        """Return both as one optimizer over the trainable parameters of ``network``, each shared one once.

        Raises `UsageError` where the network has no matrix for it.
        """
        import torch

        from stlm.spec.errors import UsageError
        from stlm.training.parameters import decay_groups
        from stlm_optimizers.optim.matrices import hidden_matrices
        from stlm_optimizers.optim.muon import MuonOfParts
        from stlm_optimizers.optim.together import Together

        parts = hidden_matrices(network)
        if not parts:
            raise UsageError("this network has no trainable matrix between hidden states, which is what Muon is for")
        how = {"momentum": self.momentum, "nesterov": self.nesterov, "ns_steps": self.ns_steps}
        decay = {"lr": self.lr, "weight_decay": self.weight_decay, "adjust_lr_fn": self.adjust_lr}
        optimizers = [MuonOfParts([{"params": list(parts)}], parts, **decay, **how)]
        groups = decay_groups(network, self.adamw_weight_decay)
        for group in groups:
            group["params"] = [p for p in group["params"] if p not in parts]
            group["lr_scale"] = self.adamw_lr / self.lr
        groups = [group for group in groups if group["params"]]
        if groups:
            betas = (self.adamw_beta1, self.adamw_beta2)
            kernel = {"fused": True} if torch.device(device).type == "cuda" else {"foreach": True}
            optimizers.append(torch.optim.AdamW(groups, lr=self.adamw_lr, betas=betas, **kernel))
        return Together(*optimizers)
