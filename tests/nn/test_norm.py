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
