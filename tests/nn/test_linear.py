"""The linear map and its gradients, by whichever kernel: those of torch's own in 64 bits."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stlm.nn import linear as linear_file
from stlm.nn.linear import linear
from stlm.nn.losses import linear_cross_entropy
from stlm.nn.onednn import kernel_for, linear_kernel, product

needs_kernel = pytest.mark.skipif(linear_kernel() is None, reason="this processor or build of torch has no such kernel")
SHAPES = [((2, 3, 520), 260), ((3, 260), 520), ((64, 512), 512), ((0, 512), 512), ((512,), 512), ((1, 1, 512), 512)]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def operands(shape, out, bias):
    x, weight = drawn(*shape), drawn(out, shape[-1], seed=1) / shape[-1] ** 0.5
    return [x, weight, drawn(out, seed=2)] if bias else [x, weight]


def gradients(function, tensors):
    own = [tensor.clone().requires_grad_() for tensor in tensors]
    y = function(*own)
    (y * torch.linspace(-1, 1, y.shape[-1], dtype=y.dtype)).sum().backward()
    return y.detach(), *[tensor.grad for tensor in own]


@needs_kernel
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("shape", "out"), SHAPES)
def test_values_and_gradients_are_those_of_64_bits(shape, out, bias):
    tensors = operands(shape, out, bias)
    assert kernel_for(tensors[0], tensors[1]) is not None
    expected = gradients(F.linear, [tensor.double() for tensor in tensors])
    for found, wanted in zip(gradients(linear, tensors), expected, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=2e-5)


@needs_kernel
def test_many_rows_of_a_small_weight_are_worth_the_kernel_and_few_are_not():
    weight = drawn(64, 64)
    assert kernel_for(drawn(8192, 64), weight) is not None
    assert kernel_for(drawn(8, 64), weight) is None


@pytest.mark.parametrize(("x_needs", "weight_needs"), [(True, False), (False, True), (False, False)])
def test_only_the_gradients_that_are_asked_for_are_computed(x_needs, weight_needs):
    x, weight = drawn(4, 512).requires_grad_(x_needs), drawn(512, 512).requires_grad_(weight_needs)
    y = linear(x, weight)
    assert y.requires_grad == (x_needs or weight_needs)
    if y.requires_grad:
        y.sum().backward()
    assert (x.grad is not None, weight.grad is not None) == (x_needs, weight_needs)


def test_a_gradient_can_be_differentiated_again():
    x, weight = drawn(4, 512).requires_grad_(), drawn(512, 512, seed=1).requires_grad_()

    def second(function, *tensors):
        y = function(*tensors).square().sum()
        first = torch.autograd.grad(y, tensors, create_graph=True)
        return torch.autograd.grad(sum(one.square().sum() for one in first), tensors)

    expected = second(F.linear, x.double(), weight.double())
    for found, wanted in zip(second(linear, x, weight), expected, strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_gradients_of_single_examples_can_be_had_by_torch_func():
    x, weight = drawn(3, 512), drawn(512, 512, seed=1)
    each = torch.func.vmap(torch.func.grad(lambda w, row: linear(row, w).square().sum()), in_dims=(None, 0))(weight, x)
    assert each.shape == (3, 512, 512)
    torch.testing.assert_close(each[1], 2 * torch.outer(weight @ x[1], x[1]), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True)])
def test_a_product_is_torchs_whatever_lies_how(transposed):
    left, right = drawn(70, 600), drawn(600, 500, seed=1)
    left = left.t().contiguous().t() if transposed[0] else left
    right = right.t().contiguous().t() if transposed[1] else right
    torch.testing.assert_close(product(left, right).double(), left.double() @ right.double(), rtol=1e-5, atol=1e-4)


def test_a_loss_over_a_large_vocabulary_has_the_gradients_of_64_bits():
    """Large enough for the kernel, and in more than one part of what a cache holds."""
    tensors = [drawn(300, 32), drawn(9000, 32, seed=1), drawn(9000, seed=2)]
    targets = torch.randint(9000, (300,), generator=torch.Generator().manual_seed(3))
    targets[7] = -100
    own, exact = ([t.detach().to(d).requires_grad_() for t in tensors] for d in (torch.float32, torch.float64))
    loss, count = linear_cross_entropy(own[0], targets, *own[1:], chunk_size=256)
    wanted = F.cross_entropy(F.linear(*exact), targets, reduction="sum")
    loss.backward()
    wanted.backward()
    assert count == 299
    torch.testing.assert_close(loss.double(), wanted, rtol=1e-6, atol=0)
    for found, true in zip(own, exact, strict=True):
        torch.testing.assert_close(found.grad.double(), true.grad, rtol=1e-4, atol=1e-6 * float(true.grad.abs().max()))


@needs_kernel
def test_without_the_kernel_all_is_computed_by_torchs_own(monkeypatch):
    tensors = operands((64, 512), 512, True)
    by_kernel = gradients(linear, tensors)
    monkeypatch.setattr(linear_file, "kernel_for", lambda x, weight: None)
    for found, wanted in zip(gradients(linear, tensors), by_kernel, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


class Part(torch.Tensor):
    """A tensor that is no plain one, as the part of a sharded one that a process holds."""


@needs_kernel
def test_a_weight_that_is_no_plain_tensor_is_left_to_torch():
    x, weight = drawn(64, 512), drawn(512, 512, seed=1)
    part = weight.as_subclass(Part)
    assert kernel_for(x, nn.Parameter(weight)) is not None
    for refused in (part, part.t(), nn.Parameter(part)):
        assert type(refused) is Part
        assert kernel_for(x, refused) is None
    assert type(linear(x, part)) is Part


@needs_kernel
def test_autocast_is_left_to_torch_and_so_are_other_formats():
    x, weight = drawn(64, 512), drawn(512, 512, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert kernel_for(x, weight) is None
        assert linear(x, weight).dtype == torch.bfloat16
    assert kernel_for(x, weight) is not None
    for dtype in (torch.bfloat16, torch.float64):
        assert kernel_for(x.to(dtype), weight) is None
        assert kernel_for(x, weight.to(dtype)) is None
        assert kernel_for(x.to(dtype), weight.to(dtype)) is None
