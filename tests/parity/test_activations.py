"""Every activation against torch.nn's and against its formula, with their gradients."""

import pytest
import torch
from torch import nn

from tests.parity.by_hand import ACTIVATIONS
from tests.parity.networks import SMALL, compiled, installed_names

TORCHS: dict[str, nn.Module] = {
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU(approximate="tanh"),
    "relu": nn.ReLU(),
    "leakyrelu": nn.LeakyReLU(),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
    "silu": nn.SiLU(),
    "none": nn.Identity(),
}


def _values_and_slopes(function, dtype):
    x = torch.linspace(-6, 6, 121, dtype=dtype)[torch.arange(121) != 60].requires_grad_()  # a kink has no slope
    y = function(x)
    return y, torch.autograd.grad(y.sum(), x)[0]


def _ours(name: str, *overrides: str):
    made = compiled(SMALL, f"model.ffn.activation={name}", *overrides)
    return made.options["ffn"], made.model.core.blocks[0].ffn.activation


@pytest.mark.parametrize("name", installed_names("activation"))
def test_an_activation_is_torchs(agree, name):
    ours, theirs = (_values_and_slopes(f, torch.float32) for f in (_ours(name)[1], TORCHS[name]))
    agree(f"activation.{name}", "the module of torch.nn", [(ours[0], theirs[0])], [(ours[1], theirs[1])], tolerance=0)


@pytest.mark.parametrize("name", installed_names("activation"))
def test_an_activation_is_its_formula(agree, name):
    """Within 1e-6: a few roundings of values up to 6."""
    said, activation = _ours(name)
    ours = _values_and_slopes(activation, torch.float32)
    theirs = _values_and_slopes(lambda x: ACTIVATIONS[name](x, said), torch.float64)
    agree(
        f"activation.{name}", "its formula in float64", [(ours[0], theirs[0])], [(ours[1], theirs[1])], tolerance=2e-6
    )


def test_a_leaky_relu_has_the_slope_that_the_spec_says(agree):
    _, activation = _ours("leakyrelu", "model.ffn.negative_slope=0.3")
    ours, theirs = (_values_and_slopes(f, torch.float32) for f in (activation, nn.LeakyReLU(0.3)))
    agree("activation.leakyrelu", "the module of torch.nn", [(ours[0], theirs[0])], [(ours[1], theirs[1])], tolerance=0)
