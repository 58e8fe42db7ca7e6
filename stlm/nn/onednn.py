"""Matrix products by oneDNN, on processors where it is faster than MKL, to which torch gives all products of float32.

With AVX-512 on processors of AMD's it does twice as much a second; elsewhere about as much. Which one is taken depends
on the processor and the size alone, never on a measurement, so that a run repeats bit for bit on the same machine.
"""

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WORTH_ITS_CALL = 2**17
"""Elements of a weight from which oneDNN is the faster one for any number of rows."""
_WORTH_ITS_WORK = 2**24
"""Multiplications from which it is, whatever the shape: a call costs about 20 microseconds more than one of MKL's."""

_transforms_are_active: Callable[[], bool] = getattr(torch._C, "_are_functorch_transforms_active", lambda: False)
"""Whether torch.func is at work, of which the kernel knows nothing; private to torch, as the kernel is."""

Kernel = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@cache
def linear_kernel() -> Kernel | None:
    """Return oneDNN's linear map: x (..., in), weight (out, in), bias (out,) or None to (..., out).

    The operator is private to torch, so it is tried before it is trusted. It knows no gradients.
    """
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512") or not torch.backends.mkldnn.is_available():
        return None

    def kernel(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        result: Tensor = operator(x, weight, bias, "none", [], "")
        return result

    try:
        operator = torch.ops.mkldnn._linear_pointwise.default
        x, weight, bias = torch.arange(6.0).view(1, 2, 3), torch.arange(12.0).view(4, 3), torch.arange(4.0)
        agrees = torch.equal(kernel(x, weight, bias), F.linear(x, weight, bias))
    except (AttributeError, RuntimeError, TypeError):
        return None
    return kernel if agrees else None


def kernel_for(x: Tensor, weight: Tensor) -> Kernel | None:
    """Return `linear_kernel` where it takes such operands and is worth its call: plain float32 ones on a CPU."""
    if torch.compiler.is_compiling() or not (weight.is_cpu and x.is_cpu):
        return None
    if weight.numel() < _WORTH_ITS_CALL and x.numel() * weight.shape[0] < _WORTH_ITS_WORK:
        return None
    plain = all(type(one) in (nn.Parameter, Tensor) for one in (x, weight))  # no part of a sharded one
    if not plain or not x.dtype == weight.dtype == torch.float32 or torch.is_autocast_enabled("cpu"):
        return None
    return None if _transforms_are_active() else linear_kernel()


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left @ right``, (n, k) and (k, m) -> (n, m), by whichever is faster; gradients do not pass."""
    kernel = kernel_for(left, right.t())
    return left @ right if kernel is None else kernel(left, right.t(), None)
