"""Schedule-free AdamW."""

import torch


class ScheduleFreeAdamW(torch.optim.Optimizer):
    """Keep two points: z takes the steps, x is the average of z; gradients are taken at y, between them.

    With learning rate γ_t, c_t = γ_t² / Σ γ²:      y = (1 - β1) z + β1 x
        v ← β2 v + (1 - β2) g²,   z ← z - γ (g / (√(v / (1 - β2^t)) + ε) + λ y),   x ← (1 - c) x + c z

    The parameters hold y, or x after `eval`. Both points are stored, so that going to and fro changes nothing, to the
    last bit. Source: algorithm 1 of Defazio et al., 2024 (arXiv:2405.15682), with the largest γ so far in c, as in the
    authors' code; the warm-up is the learning rate's schedule.
    """

    def __init__(self, params, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0, "t": 0})
        for group in self.param_groups:
            group["largest_lr"] = group["sum_of_squares"] = 0.0
        self.at_average = False

    @torch.no_grad()
    def eval(self) -> None:
        """Put the average x into the parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                if p in self.state:
                    p.copy_(self.state[p]["x"])
        self.at_average = True

    @torch.no_grad()
    def train(self) -> None:
        """Put the training point y into the parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                if p in self.state:
                    p.copy_(torch.lerp(self.state[p]["z"], self.state[p]["x"], group["betas"][0]))
        self.at_average = False

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take a step. Raises `RuntimeError` where the parameters hold the average."""
        if self.at_average:
            raise RuntimeError("the parameters hold the average; call `train` before `step`")
        for group in self.param_groups:
            (beta1, beta2), lr = group["betas"], group["lr"]
            group["t"] += 1
            group["largest_lr"] = max(group["largest_lr"], lr)
            group["sum_of_squares"] += group["largest_lr"] ** 2
            share = group["largest_lr"] ** 2 / group["sum_of_squares"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(x=p.clone(), z=p.clone(), v=torch.zeros_like(p))
                state["v"].mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                scale = (state["v"] / (1 - beta2 ** group["t"])).sqrt_().add_(group["eps"])
                state["z"].sub_(p.grad / scale + group["weight_decay"] * p, alpha=lr)
                state["x"].lerp_(state["z"], share)
                p.copy_(torch.lerp(state["z"], state["x"], beta1))
