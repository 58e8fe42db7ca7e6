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
        weight, bias, width = self.weight, self.bias, self.in_features
        of_one = _product_of_one(weight, bias)
        kernel = _onednn_linear() if _can_be_fast(weight, weight) else None

        def of_many(x: Tensor) -> Tensor:
            return F.linear(x, weight, bias) if kernel is None else kernel(x, weight, bias, "none", [], "")

        return of_many if of_one is None else lambda x: of_one(x) if x.numel() == width else of_many(x)

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


def _product_of_one(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor] | None:
    """Return the linear map for a single vector (..., in), with every thread at work; None where that cannot be had.

    MKL reads a matrix by one thread alone when it multiplies a single vector, which is most of the time that a token
    takes. As a batch of products, one a thread, each with its share of the rows (or of the columns, where the rows
    cannot be divided), it takes half of that on two threads.
    """
    rows, columns = weight.shape
    by_rows, by_columns = _most_parts(rows), _most_parts(columns)
    plain = type(weight) is nn.Parameter and weight.is_cpu and weight.is_contiguous()
    if (
        not plain
        or weight.dtype != torch.float32
        or not torch.backends.mkl.is_available()
        or max(by_rows, by_columns) == 1
    ):
        return None
    if by_rows > 1:
        shares = weight.view(by_rows, rows // by_rows, columns).transpose(1, 2)
    else:
        shares = weight.view(rows, by_columns, columns // by_columns).permute(1, 2, 0)

    def product(x: Tensor) -> Tensor:
        """Shape: (1, 1, in) -> (1, 1, out)."""
        if by_rows > 1:
            y = torch.bmm(x.expand(by_rows, 1, columns), shares).view(1, 1, rows)
        else:
            y = torch.bmm(x.view(by_columns, 1, -1), shares).sum(dim=0, keepdim=True)
        return y if bias is None else y.add_(bias)

    def of_any_shape(x: Tensor) -> Tensor:
        return product(x) if x.dim() == 3 else product(x.reshape(1, 1, columns)).view(*x.shape[:-1], rows)

    return of_any_shape


def _most_parts(size: int) -> int:
    """Return how many equal parts can be made of ``size``, at most one a thread."""
    return next(parts for parts in range(torch.get_num_threads(), 0, -1) if size % parts == 0)


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
