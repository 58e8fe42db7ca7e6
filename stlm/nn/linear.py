"""A linear layer that knows its place in the network, so that initialization can treat it by what it is for."""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.nn.onednn import kernel_for, linear_kernel, product


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
        kernel = kernel_for(weight[:1], weight)

        def of_many(x: Tensor) -> Tensor:
            return F.linear(x, weight, bias) if kernel is None else kernel(x, weight, bias)

        return of_many if of_one is None else lambda x: of_one(x) if x.numel() == width else of_many(x)

    def weight_parts(self) -> Iterator[Tensor]:
        """Yield a view of the weight for each projection that this layer stands for, (part, in_features)."""
        yield from self.weight.split(self.parts)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `torch.nn.functional.linear`, by a faster kernel where there is one (`stlm.nn.onednn`).

    Shape: x (..., in), weight (out, in), bias (out,) -> (..., out).
    """
    kernel = kernel_for(x, weight)
    if kernel is None:
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled():
        result: Tensor = _FastLinear.apply(x, weight, bias)
        return result
    return kernel(x, weight, bias)


class _FastLinear(torch.autograd.Function):
    """The linear map by oneDNN, and its gradients too. They can be differentiated again, by torch's own products."""

    @staticmethod
    def forward(ctx, x, weight, bias):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x, weight)
        return linear_kernel()(x, weight, bias)

    @staticmethod
    def backward(ctx, d_y):  # type: ignore[no-untyped-def]
        x, weight = ctx.saved_tensors
        need_x, need_weight, need_bias = ctx.needs_input_grad
        multiply = torch.mm if torch.is_grad_enabled() else product
        rows, d_rows = x.reshape(-1, x.shape[-1]), d_y.reshape(-1, d_y.shape[-1])
        d_x = multiply(d_rows, weight).view(x.shape) if need_x else None
        d_weight = None
        if need_weight and weight.shape[0] > weight.shape[1]:  # the faster way round
            d_weight = multiply(rows.t(), d_rows).t()
        elif need_weight:
            d_weight = multiply(d_rows.t(), rows)
        return d_x, d_weight, d_rows.sum(dim=0) if need_bias else None


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
