"""Lion: the sign of a momentum."""

from typing import Any

import torch
from torch.optim import Optimizer

from stlm.nn.sharded import part_held_here


class Lion(Optimizer):
    """Step by the sign of an interpolation between the momentum and the gradient, and decay beside it.

        θ ← (1 - γ λ) θ - γ sign(β1 m + (1 - β1) g),      m ← β2 m + (1 - β2) g

    Source: algorithm 2 of Chen et al., 2023 (arXiv:2302.06675). Every element by itself, so that of a tensor that is
    shared out among processes each steps its part.
    """

    def __init__(
        self, params: Any, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take a step, with all tensors of a group at once."""
        for group in self.param_groups:
            (beta1, beta2), lr = group["betas"], group["lr"]
            moved = [p for p in group["params"] if p.grad is not None]
            if not moved:
                continue
            for p in moved:
                if not self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            weights = [part_held_here(p) for p in moved]
            grads = [part_held_here(p.grad) for p in moved]
            momenta = [part_held_here(self.state[p]["momentum"]) for p in moved]
            directions = torch._foreach_lerp(momenta, grads, 1 - beta1)
            torch._foreach_sign_(directions)
            torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
            torch._foreach_add_(weights, directions, alpha=-lr)
            torch._foreach_lerp_(momenta, grads, 1 - beta2)
