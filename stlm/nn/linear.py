"""A linear layer that knows its place in the network, so that initialization can treat it by what it is for."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """`torch.nn.Linear` with three remarks on its role; what it computes is the same.

    ``into_residual``: its result is added to the residual stream. ``to_vocabulary``: its result is logits.
    ``parts``: output widths of several projections that are computed as one (q, k and v), each of which is
    initialized as the matrix that it stands for.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        into_residual: bool = False,
        to_vocabulary: bool = False,
        parts: Sequence[int] = (),
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.into_residual = into_residual
        self.to_vocabulary = to_vocabulary
        self.parts = tuple(parts) or (out_features,)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: (..., in_features) -> (..., out_features)."""
        return linear(x, self.weight, self.bias)

    def prepared(self) -> Callable[[Tensor], Tensor]:
        """Return `forward` as a function; see `stlm.nn.prepared`."""
        weight, bias = self.weight, self.bias
        kernel = _onednn_linear() if _can_be_fast(weight, weight) else None
        if kernel is None:
            return lambda x: F.linear(x, weight, bias)
        return lambda x: kernel(x, weight, bias, "none", [], "")

    def weight_parts(self) -> Iterator[Tensor]:
        """Yield a view of the weight for each projection that this layer stands for, (part, in_features)."""
        yield from self.weight.split(self.parts)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `torch.nn.functional.linear`, by a faster kernel where there is one: on CPUs, float32, without gradients.

    Shape: x (..., in), weight (out, in), bias (out,) -> (..., out).
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or not _can_be_fast(x, weight):
        return F.linear(x, weight, bias)
    kernel = _onednn_linear()
    return F.linear(x, weight, bias) if kernel is None else kernel(x, weight, bias, "none", [], "")


_WORTH_ITS_CALL = 2**17
"""Weights from which oneDNN's kernel is the faster one: a call of it costs about 20 microseconds more."""


def _can_be_fast(x: Tensor, weight: Tensor) -> bool:
    if weight.numel() < _WORTH_ITS_CALL or not (weight.is_cpu and x.is_cpu):
        return False
    plain = type(weight) is nn.Parameter or type(weight) is Tensor  # no part of a sharded one
    return plain and x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


@cache
def _onednn_linear() -> Callable[..., Tensor] | None:
    """Return oneDNN's linear map where this build of torch has it, on processors on which it was measured to be faster.

    It reads a matrix once at about twice the speed of MKL, which decides how fast single tokens are generated. The
    operator is private to torch, so it is tried before it is trusted.
    """
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512") or not torch.backends.mkldnn.is_available():
        return None
    try:
        kernel: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise.default
        x, weight, bias = torch.arange(6.0).view(1, 2, 3), torch.arange(12.0).view(4, 3), torch.arange(4.0)
        expected = F.linear(x, weight, bias)
        agrees = torch.equal(kernel(x, weight, bias, "none", [], ""), expected)
    except (AttributeError, RuntimeError, TypeError):
        return None
    return kernel if agrees else None
