"""The norms against torch's own."""

import pytest
import torch
import torch.nn.functional as F

from stlm.nn import RMSNorm


@pytest.mark.parametrize("shape", [(8,), (1, 8), (3, 5, 8)])
@pytest.mark.parametrize("transposed", [False, True])
def test_rms_norm_and_its_gradients_are_torchs(shape, transposed):
    generator = torch.Generator().manual_seed(0)
    norm = RMSNorm(8, eps=0.1)
    norm.weight.data = torch.randn(8, generator=generator)
    x, d_y = torch.randn(2, *shape, generator=generator)
    if transposed and x.dim() == 3:
        x = x.transpose(0, 1)
        d_y = d_y.transpose(0, 1)
    x.requires_grad_()
    wanted = F.rms_norm(x, (8,), norm.weight, 0.1)
    torch.testing.assert_close(norm(x), wanted)
    with torch.no_grad():
        torch.testing.assert_close(norm(x), wanted)
    gradients = torch.autograd.grad(norm(x), (x, norm.weight), d_y)
    for got, expected in zip(gradients, torch.autograd.grad(wanted, (x, norm.weight), d_y), strict=True):
        torch.testing.assert_close(got, expected)


def test_rms_norm_keeps_a_narrow_dtype_and_computes_in_float32():
    norm = RMSNorm(4, eps=1e-5)
    x = torch.full((1, 4), 300.0, dtype=torch.float16, requires_grad=True)  # its square is beyond float16
    assert norm(x).dtype == torch.float16
    torch.testing.assert_close(norm(x), torch.ones(1, 4, dtype=torch.float16))
    norm(x).sum().backward()
    assert x.grad.dtype == torch.float16


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("held", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1, 384), (384,), (2, 3, 384)])
@pytest.mark.parametrize("with_gradients", [True, False])
def test_rms_norm_of_bf16_is_rounded_once(held, shape, with_gradients):
    """A rounding to bf16 is off by 2⁻⁹ of the value's power of two at most; a second one would be seen."""
    norm = RMSNorm(384, eps=1e-5)
    norm.weight.data = (1 + 0.3 * drawn(384, seed=1)).to(held)
    x = (3 * drawn(*shape)).bfloat16()
    exact = F.rms_norm(x.double(), (384,), norm.weight.detach().double(), 1e-5)
    with torch.set_grad_enabled(with_gradients):
        found = norm(x)
    assert found.dtype == torch.bfloat16
    halfway = torch.exp2(exact.abs().log2().floor()) / 2**8
    assert ((found.double() - exact).abs() <= 1.001 * halfway).all()


def test_the_gradient_of_rms_norm_is_taken_in_float32_where_backward_is_called_under_autocast():
    norm = RMSNorm(64, eps=1e-5)
    norm.weight.data = 1 + 0.3 * drawn(64, seed=1)
    x, d_y = drawn(4, 64).requires_grad_(), drawn(4, 64, seed=2)
    exact_x, exact_weight = x.detach().double().requires_grad_(), norm.weight.detach().double().requires_grad_()
    F.rms_norm(exact_x, (64,), exact_weight, 1e-5).backward(d_y.double())
    with torch.autocast("cpu", torch.bfloat16):
        norm(x).backward(d_y)
    torch.testing.assert_close(x.grad.double(), exact_x.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(norm.weight.grad.double(), exact_weight.grad, rtol=1e-5, atol=1e-5)
