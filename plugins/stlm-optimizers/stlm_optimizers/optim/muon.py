"""Muon: momentum whose every direction is made equally long."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from stlm.nn.sharded import fill_part
from stlm_optimizers.optim.matrices import Parts
from stlm_optimizers.optim.whole import whole


class MuonOfParts(Optimizer):
    """`torch.optim.Muon`, for matrices that stand for several and for such as are shared out among processes.

    Each part of a fused projection is orthogonalized by itself, for the singular values of q, k and v in one matrix are
    those of none of them. ``parts`` says the numbers of rows; ``options`` are those of `torch.optim.Muon`.

    A matrix that is shared out (a `DTensor`) is gathered on every process, with its gradient and its momentum, one
    matrix at a time; all compute the same, and each keeps its rows. What is stored stays shared out.
    """

    def __init__(self, params: list[dict[str, Any]], parts: Parts, **options: Any) -> None:
        super().__init__(params, options)
        self.parts = parts

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take a step."""
        for group in self.param_groups:
            options = {name: group[name] for name in self.defaults}
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, options)

    def _move(self, p: Tensor, options: Mapping[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(p)
        kept = (p.detach(), state["momentum_buffer"])
        wholes = tuple(whole(tensor) for tensor in kept)
        move_each(*wholes, whole(p.grad), self.parts[p], options)
        for tensor, changed in zip(kept, wholes, strict=True):
            if tensor is not changed:
                fill_part(tensor, changed)


def move_each(p: Tensor, momentum: Tensor, grad: Tensor, rows: tuple[int, ...], options: Mapping[str, Any]) -> None:
    """Let torch's Muon take a step with each part of a matrix; ``p`` and ``momentum`` are changed in place.

    The optimizer is made for this step, of views: what it has to remember belongs to the whole matrix.
    """
    views = p.split(rows)
    muon = torch.optim.Muon(views, **options)
    for view, its_grad, its_momentum in zip(views, grad.split(rows), momentum.split(rows), strict=True):
        view.grad = its_grad
        muon.state[view] = {"momentum_buffer": its_momentum}
    muon.step()
