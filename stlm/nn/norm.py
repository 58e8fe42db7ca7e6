"""Norms: what keeps the entrance of a block at unit scale. Shapes: D = hidden; "..." = any leading axes."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Scale each vector to a root mean square of 1, then by a learned weight.

    Shape: (..., D) -> (..., D), dtype kept; computed in float32.
    Source: arXiv:1910.07467. ``eps`` is not in the paper; its place is that of `torch.nn.functional.rms_norm`.
    """

    def __init__(self, dim: int, *, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as the plain norm: every weight is 1."""
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last axis."""
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            if torch.is_grad_enabled():
                return _RMSNormOnCPU.apply(x.float(), self.weight.float(), self.eps).to(x.dtype)
            if x.numel() == self.weight.numel() and x.dtype == self.weight.dtype == torch.float32:
                return _of_one_vector(x, self.weight, self.eps)
        return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.eps).to(x.dtype)

    def prepared(self) -> Callable[[Tensor], Tensor]:
        """Return `forward` as a function; see `stlm.nn.prepared`."""
        weight, eps, dim = self.weight, self.eps, self.weight.numel()
        if not weight.is_cpu or weight.dtype != torch.float32:
            return self
        return lambda x: _of_one_vector(x, weight, eps) if x.numel() == dim else self(x)

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count the input and its scale, in float32 whatever the working precision."""
        return 4 * (self.weight.numel() + 1)


def _of_one_vector(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """The norm of a single token, in half the time: on a CPU its scale can be a plain number."""
    flat = x.reshape(-1)
    mean_square = torch.dot(flat, flat).item() / flat.numel()
    return (x * weight).mul_((mean_square + eps) ** -0.5)


class _RMSNormOnCPU(torch.autograd.Function):
    """The norm with its gradient written out: x and one scale a vector are kept.

    torch fuses `rms_norm` on GPUs only. On a CPU it is a chain of operations that keeps the normalized vectors too;
    this takes 45% of its time, forward and backward, at 2048 vectors of 384 on one thread.
    """

    @staticmethod
    def forward(ctx, x, weight, eps):  # type: ignore[no-untyped-def]
        mean_square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        scale = mean_square.add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_y):  # type: ignore[no-untyped-def]
        x, weight, scale = ctx.saved_tensors
        with torch.autocast("cpu", enabled=False):
            normed = x * scale
            product = d_y * normed
            d_weight = product.reshape(-1, weight.numel()).sum(dim=0)
            along = (product @ weight).unsqueeze(-1).div_(weight.numel())  # the part of d_y that only rescales x
            d_x = (d_y * weight).addcmul_(normed, along, value=-1).mul_(scale)
        return d_x, d_weight, None


class LayerNorm(nn.LayerNorm):
    """Subtract the mean, scale to a variance of 1, then apply a learned weight and bias.

    Shape: (..., D) -> (..., D). Source: arXiv:1607.06450, as `torch.nn.LayerNorm` computes it.
    """

    def __init__(self, dim: int, *, eps: float) -> None:
        super().__init__(dim, eps=eps)

    def prepared(self) -> Callable[[Tensor], Tensor]:
        """Return `forward` as a function; see `stlm.nn.prepared`."""
        shape, weight, bias, eps = self.normalized_shape, self.weight, self.bias, self.eps
        return lambda x: F.layer_norm(x, shape, weight, bias, eps)

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count the input, its mean and its scale, in float32 as the residual stream is."""
        return 4 * (self.weight.numel() + 2)
