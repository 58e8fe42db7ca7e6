"""Cross-entropy that never holds all logits at once.

Shapes: N = rows, one a token; D = their width; V = vocabulary. A vocabulary of 50,000 makes the logits of one batch
larger than everything else that training keeps; here they exist for ``chunk_size`` rows at a time.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from stlm.nn.linear import linear
from stlm.nn.onednn import kernel_for, product

IGNORE = -100
"""The target of a row that is not counted."""
_IN_CACHE = 2**21
"""Logits that a processor's cache holds, about."""


def counted_rows(states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Leave out the rows that are not counted: states (N, D) and targets (N,) -> (n, D) and (n,).

    The loss of what is left is that of all, and so is its gradient. A graph that is compiled with the loss in it keeps
    all rows: how many are left is known only when it runs.
    """
    if torch.compiler.is_compiling():
        return states, targets
    counted = (targets != IGNORE).nonzero().squeeze(1)
    if len(counted) == len(targets):
        return states, targets
    return states.index_select(0, counted), targets.index_select(0, counted)


def chunked_cross_entropy(
    states: Tensor, targets: Tensor, project: Callable[[Tensor], Tensor], chunk_size: int = 512
) -> tuple[Tensor, Tensor]:
    """Return the summed cross-entropy of ``project(states)`` and the number of counted rows, both float32 scalars.

    states (N, D); targets (N,), `IGNORE` where not counted. ``project`` is any function of rows to logits (n, V); it
    runs again in the backward pass, chunk by chunk. Where it is a plain linear map, `linear_cross_entropy` gives the
    same without running it twice.
    """

    def chunk_loss(rows: Tensor, wanted: Tensor) -> Tensor:
        return F.cross_entropy(project(rows).float(), wanted, ignore_index=IGNORE, reduction="sum")

    total = torch.zeros((), dtype=torch.float32, device=states.device)
    for rows, wanted in zip(states.split(chunk_size), targets.split(chunk_size), strict=True):
        if torch.is_grad_enabled():
            total = total + checkpoint(chunk_loss, rows, wanted, use_reentrant=False, preserve_rng_state=False)
        else:
            total = total + chunk_loss(rows, wanted)
    return total, (targets != IGNORE).sum().float()


def linear_cross_entropy(
    states: Tensor, targets: Tensor, weight: Tensor, bias: Tensor | None = None, chunk_size: int = 512
) -> tuple[Tensor, Tensor]:
    """Return the summed cross-entropy of ``states @ weight.T + bias`` and the number of counted rows.

    states (N, D), targets (N,), weight (V, D), bias (V,). The gradients are computed along with the loss, while a
    chunk's logits are there, so that the products are those of the plain way and none is done twice. The result can be
    differentiated once.
    """
    count = (targets != IGNORE).sum().float()
    wanted = [states, weight] if bias is None else [states, weight, bias]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in wanted):
        return _LinearCrossEntropy.apply(states, targets, weight, bias, chunk_size), count
    return chunked_cross_entropy(states, targets, lambda rows: linear(rows, weight, bias), chunk_size)


class _LinearCrossEntropy(torch.autograd.Function):
    """The summed loss forward; in the backward pass, the gradients found on the way times the loss's own."""

    @staticmethod
    def forward(ctx, states, targets, weight, bias, chunk_size):  # type: ignore[no-untyped-def]
        need_states, _, need_weight, need_bias, _ = ctx.needs_input_grad
        total = torch.zeros((), dtype=torch.float32, device=states.device)
        d_states = torch.empty_like(states) if need_states else None
        d_weight = _room_for_sum(weight) if need_weight else None
        d_bias = torch.zeros_like(bias) if need_bias else None
        for start in range(0, len(states), chunk_size):
            rows, wanted = states[start : start + chunk_size], targets[start : start + chunk_size]
            loss, d_logits = _loss_and_gradient(linear(rows, weight, bias), wanted)
            total += loss
            if d_states is not None:
                d_states[start : start + chunk_size] = product(d_logits, weight)
            if d_weight is not None:
                _add_product(d_weight, d_logits.t(), rows)
            if d_bias is not None:
                d_bias += d_logits.sum(dim=0)
        ctx.gradients = d_states, None, None if d_weight is None else d_weight.contiguous(), d_bias, None
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_total):  # type: ignore[no-untyped-def]
        if ctx.gradients is None:
            raise RuntimeError("the gradient of linear_cross_entropy was asked for twice; it is kept for one use only")
        gradients, ctx.gradients = ctx.gradients, None
        return tuple(None if gradient is None else gradient.mul_(d_total) for gradient in gradients)


def _loss_and_gradient(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the summed loss of a chunk and its gradient by the logits, (n, V), in the dtype and place of the logits.

    On a CPU some rows at a time, as many as its cache holds.
    """
    counted = (targets != IGNORE).unsqueeze(1)
    index = targets.clamp(min=0).unsqueeze(1)
    loss = torch.zeros((), dtype=torch.float32, device=logits.device)
    size = max(1, _IN_CACHE // logits.shape[1]) if logits.is_cpu else len(logits)
    for some, at, counts in zip(logits.split(size), index.split(size), counted.split(size), strict=True):
        logs = torch.log_softmax(some, dim=1, dtype=torch.float32)
        loss -= (logs.gather(1, at) * counts).sum()
        gradient = logs.exp_()
        gradient.scatter_add_(1, at, gradient.new_full((1, 1), -1.0).expand_as(at))
        torch.mul(gradient, counts, out=some)
    return loss, logits


def _room_for_sum(weight: Tensor) -> Tensor:
    """Return zeros for the sum of the weight's gradients, (V, D): stored as (D, V) where that is the faster to fill."""
    if kernel_for(weight, weight) is None:
        return torch.zeros_like(weight)
    return torch.zeros_like(weight.t(), memory_format=torch.contiguous_format).t()


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add ``left @ right``; in place where all are of one dtype, which under autocast they are not."""
    if not total.is_contiguous():
        total.t().add_(product(right.t(), left.t()))
    elif total.dtype == left.dtype == right.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right
