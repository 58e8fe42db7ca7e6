"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner."""

from typing import Any

from stlm.components.optimizer.options import (
    FallingRate,
    decoupled_decay,
    gradient_clipping,
    learning_rate,
    lowest_rate,
)
from stlm.registry import below, component, option, positive, same_as


@component("optimizer", "SOAP")
class SOAP(FallingRate):
    """Shampoo with Adam in the preconditioner's eigenbasis (Vyas et al., 2024; arXiv:2409.11321).

    As in the authors' code, the first step only looks at its gradient, and moves nothing. Tables (embeddings, learned
    positions, the head, and what a module keeps under another name than ``weight``) are turned into a basis along their
    second axis alone, that of the hidden states, as embeddings were, by their size, in the paper. Each part of a fused
    q, k and v has bases of its own. What is decayed is what AdamW decays: matrices and embeddings.
    """

    lr: float = learning_rate(3e-3)
    min_lr: float = lowest_rate()
    weight_decay: float = decoupled_decay(0.01)
    beta1: float = option(below(0.0, 1.0), default=0.95, doc="Decay of the running mean of gradients.")
    beta2: float = option(
        below(0.0, 1.0), default=0.95, doc="Decay of the running mean of squared gradients, in the eigenbasis."
    )
    shampoo_beta: float = option(
        below(0.0, 1.0), default=same_as("beta2"), doc="Decay of the running mean of which the bases are made."
    )
    precondition_frequency: int = option(positive, default=10, doc="Steps from one change of the bases to the next.")
    max_precond_dim: int = option(
        positive,
        default=10_000,
        doc="The widest side of a matrix that is turned into a basis of its own; wider ones stay as they are.",
    )
    grad_clip: float = gradient_clipping()

    def state_bytes(self, network: Any) -> int:
        """Count two moments for each element, and two squares for each side that has a basis of its own."""
        from stlm_optimizers.optim.soap import state_elements

        counts = state_elements(*self.groups(network), self.max_precond_dim)
        return sum(count * p.element_size() for p, count in counts.items())

    def groups(self, network: Any) -> tuple[list[dict[str, Any]], Any]:
        """Return the groups of a network's parameters, and the parts of its matrices."""
        from stlm.training.parameters import decay_groups
        from stlm_optimizers.optim.matrices import hidden_matrices

        return decay_groups(network, self.weight_decay), hidden_matrices(network)

    def build(self, trainer: Any, network: Any, device: Any) -> Any:
        """Return the optimizer over the trainable parameters of ``network``, each shared one once."""
        from stlm_optimizers.optim import soap

        groups, parts = self.groups(network)
        return soap.SOAP(
            groups,
            parts,
            soap.tables_of(groups, parts),
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            shampoo_beta=self.shampoo_beta,
            precondition_frequency=self.precondition_frequency,
            max_precond_dim=self.max_precond_dim,
        )
