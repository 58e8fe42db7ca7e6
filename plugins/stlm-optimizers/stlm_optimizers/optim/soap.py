"""SOAP: Adam, in the eigenbasis of Shampoo's preconditioner.

Of a tensor of any number of axes, an axis is turned into a basis of its own where the basis is no more than
``max_precond_dim`` wide; elsewhere, and for vectors, the basis is None, which stands for the tensor's own. A table,
(rows, hidden), is turned along its hidden states alone, however few its rows are.
"""

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from stlm_optimizers.optim.matrices import Parts
from stlm_optimizers.optim.whole import add_to, whole

Squares = list[Tensor | None]
"""A square matrix for each axis of a tensor, or None."""


class SOAP(Optimizer):
    """Shampoo with Adam in the preconditioner's eigenbasis (Vyas et al., 2024; arXiv:2409.11321).

    As in the authors' code, the first gradient only makes the bases, and moves nothing; the bases take a step of
    orthogonal iteration every ``precondition_frequency`` steps; the decay comes after the step. Where they departed
    from it: each part of a fused projection has bases of its own (``parts``), which are smaller; and ``tables`` are
    turned along axis 1 alone, where their size would have decided.

    Of a tensor that is shared out among processes, each computes the whole step and keeps its part; the state is there
    as a whole on each.
    """

    def __init__(
        self,
        params: Any,
        parts: Parts | None = None,
        tables: Collection[Tensor] = (),
        *,
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        shampoo_beta: float = 0.95,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        precondition_frequency: int = 10,
        max_precond_dim: int = 10_000,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "shampoo_beta": shampoo_beta, "eps": eps, "weight_decay": weight_decay}
        every = {"precondition_frequency": precondition_frequency, "max_precond_dim": max_precond_dim}
        super().__init__(params, {**defaults, **every})
        self.parts = parts or {}
        self.tables = set(tables)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state, of which every process has the whole, however it was read."""
        super().load_state_dict(state_dict)
        for p in self.state:
            self.state[p] = _wholes(self.state[p])

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take a step; the first one moves nothing."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, whole(p.grad), group)

    def _move(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state, rows = self.state[p], self.parts.get(p, p.shape[:1])
        beta1, beta2 = group["betas"]
        if not state:
            axes = [preconditioned(part, group["max_precond_dim"], p in self.tables) for part in part_shapes(p, rows)]
            state.update(_fresh(grad, rows, axes, 1 - group["shampoo_beta"]))
            return
        state["step"] += 1
        step = state["step"]
        state["exp_avg"].lerp_(grad, 1 - beta1)
        change = torch.empty_like(grad)
        tensors = (grad, state["exp_avg"], state["exp_avg_sq"], change)
        split = [tensor.split(rows) if rows else (tensor,) for tensor in tensors]
        for g, m, v, out, bases, squares in zip(*split, state["bases"], state["covariances"], strict=True):
            v.lerp_(turned(g, bases).square(), 1 - beta2)
            out.copy_(turned(turned(m, bases) / v.sqrt().add_(group["eps"]), bases, back=True))
            follow(squares, g, 1 - group["shampoo_beta"])
            if step % group["precondition_frequency"] == 0:
                iterate(bases, squares, v)
        change.mul_(-group["lr"] * math.sqrt(1 - beta2**step) / (1 - beta1**step))
        add_to(p, change, keep=1 - group["lr"] * group["weight_decay"])


def tables_of(groups: list[dict[str, Any]], parts: Parts) -> set[Tensor]:
    """Find the tables of a network: the two-dimensional parameters, (rows, hidden), that are no matrix in ``parts``."""
    return {p for group in groups for p in group["params"] if p.ndim == 2 and p not in parts}


def part_shapes(p: Tensor, rows: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the shapes of the parts of a tensor; ``rows`` is empty where it has no axis."""
    return [(size, *p.shape[1:]) for size in rows] if rows else [()]


def preconditioned(shape: tuple[int, ...], max_precond_dim: int, is_table: bool) -> list[bool]:
    """Say of each axis of a tensor whether it is turned into a basis of its own: of a table, only the second may be."""
    first = 1 if is_table else 0
    return [len(shape) > 1 and axis >= first and size <= max_precond_dim for axis, size in enumerate(shape)]


def state_elements(groups: list[dict[str, Any]], parts: Parts, max_precond_dim: int) -> dict[Tensor, int]:
    """Count the elements of each parameter's state: two moments, and two squares for each axis that is turned."""
    tables, counts = tables_of(groups, parts), {}
    for p in (p for group in groups for p in group["params"]):
        squares = [
            size * size
            for shape in part_shapes(p, parts.get(p, p.shape[:1]))
            for size, yes in zip(shape, preconditioned(shape, max_precond_dim, p in tables), strict=True)
            if yes
        ]
        counts[p] = 2 * (p.numel() + sum(squares))
    return counts


def _fresh(grad: Tensor, rows: tuple[int, ...], axes: list[list[bool]], weight: float) -> dict[str, Any]:
    """Make the state of a tensor of its first gradient; ``axes`` says of each part which of them are turned."""
    covariances: list[Squares] = []
    for part, are_turned in zip(grad.split(rows) if rows else (grad,), axes, strict=True):
        squares = [part.new_zeros(n, n) if yes else None for n, yes in zip(part.shape, are_turned, strict=True)]
        follow(squares, part, weight)
        covariances.append(squares)
    bases = [[None if square is None else eigenbasis(square) for square in squares] for squares in covariances]
    moments = {name: torch.zeros_like(grad) for name in ("exp_avg", "exp_avg_sq")}
    return {"step": 0, **moments, "covariances": covariances, "bases": bases}


def unfolded(x: Tensor, axis: int) -> Tensor:
    """Lay all other axes out in one. Shape: (..., n, ...) -> (n, rest)."""
    return x.movedim(axis, 0).reshape(x.shape[axis], -1)


def follow(covariances: Squares, grad: Tensor, weight: float) -> None:
    """Take a gradient into the running mean of its products with itself along each axis, in place."""
    for axis, square in enumerate(covariances):
        if square is not None:
            rows = unfolded(grad, axis)
            square.lerp_(rows @ rows.T, weight)


def turned(x: Tensor, bases: Squares, *, back: bool = False) -> Tensor:
    """Turn a tensor into the bases of its axes, or back. Shape: kept."""
    for axis, basis in enumerate(bases):
        if basis is not None:
            x = (x.movedim(axis, -1) @ (basis.T if back else basis)).movedim(-1, axis)
    return x


def eigenbasis(square: Tensor) -> Tensor:
    """Return the eigenvectors of a symmetric matrix as columns, those of the largest eigenvalues first.

    In 64 bits, for it is done once, and of matrices of a low rank, on which 32 bits may fail.
    """
    return torch.linalg.eigh(square.double()).eigenvectors.flip(1).to(square.dtype)


def iterate(bases: Squares, covariances: Squares, exp_avg_sq: Tensor) -> None:
    """Take a step of orthogonal iteration to the eigenvectors as they are now, in place.

    Columns are sorted anew by the eigenvalues that they stand for, and the squares counted in them go with them.
    """
    for axis, (basis, square) in enumerate(zip(bases, covariances, strict=True)):
        if basis is None or square is None:
            continue
        product = square @ basis
        order = (basis * product).sum(0).argsort(descending=True, stable=True)
        exp_avg_sq.copy_(exp_avg_sq.index_select(axis, order))
        bases[axis] = torch.linalg.qr(product[:, order]).Q


def _wholes(state: Any) -> Any:
    """Gather every tensor of a state."""
    if isinstance(state, torch.Tensor):
        return whole(state)
    if isinstance(state, dict):
        return {key: _wholes(value) for key, value in state.items()}
    return [_wholes(value) for value in state] if isinstance(state, list) else state
