"""Every norm against torch's and against its formula, with weights away from one and an epsilon that matters."""

import pytest
import torch
import torch.nn.functional as F

from tests.parity.by_hand import ByHand
from tests.parity.networks import SMALL, Compiled, compiled, installed_names

TOLERANCE = 1e-5
"""A few roundings of values up to 10, and in gradients of weights the sum of 35 such."""

TORCHS = {
    "rms_norm": lambda x, norm, eps: F.rms_norm(x, x.shape[-1:], norm.weight, eps),
    "layer_norm": lambda x, norm, eps: F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, eps),
    "none": lambda x, norm, eps: x * 1,
}

PLACES = {
    "core.blocks.0.attn.norm": ("attn.normalization", 24),
    "core.blocks.1.attn.q_norm": ("attn.qk_norm", 6),
    "core.blocks.0.attn.k_norm": ("attn.qk_norm", 6),
    "core.blocks.1.ffn.norm": ("ffn.normalization", 24),
    "head.norm": ("lm_head_normalization", 24),
}
"""Where norms stand, the key that chooses each, and its width."""


def _everywhere(name: str, eps: float) -> Compiled:
    keys = {key for key, _ in PLACES.values()}
    return compiled(SMALL, *(f"model.{key}={name}" for key in keys), f"model.norm_eps={eps}", seed=1)


def _rows(width: int) -> torch.Tensor:
    """Return vectors whose means are not 0, of sizes from 0.01, where epsilon rules, to 10."""
    rows = torch.randn(5, 7, width, generator=torch.Generator().manual_seed(0)) + 0.5
    return (rows * torch.logspace(-2, 1, 7).unsqueeze(-1)).requires_grad_()


@pytest.mark.parametrize("name", installed_names("norm"))
@pytest.mark.parametrize("eps", [1e-5, 0.3])
@pytest.mark.parametrize("place", PLACES)
def test_a_norm_is_torchs_and_its_formula_wherever_it_stands(agree, name, eps, place):
    made = _everywhere(name, eps)
    norm, x = made.model.get_submodule(place), _rows(PLACES[place][1])
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    ours = norm(x)
    with torch.no_grad():
        unwatched = norm(x)  # a path of its own
    mine = torch.autograd.grad((ours * weights).sum(), (x, *norm.parameters()))

    torchs = TORCHS[name](x, norm, eps)
    gradients = torch.autograd.grad((torchs * weights).sum(), (x, *norm.parameters()))
    pairs = list(zip(mine[1:], gradients[1:], strict=True))
    size = gradients[0].abs().max()  # by 1 / √eps, where a vector is near 0
    pairs.append((mine[0] / size, gradients[0] / size))
    agree(
        f"norm.{name}",
        "the function of torch.nn.functional",
        [(ours, torchs), (unwatched, torchs)],
        pairs,
        tolerance=TOLERANCE,
    )

    hand = ByHand(made.options, made.model)
    exact = hand.norm(place, name, x.double())
    leaves = [hand.leaves[f"{place}.{parameter}"] for parameter, _ in norm.named_parameters()]
    gradients = torch.autograd.grad((exact * weights).sum(), (x, *leaves))
    pairs = list(zip(mine[1:], gradients[1:], strict=True))
    pairs.append((mine[0] / size, gradients[0] / size))
    agree(f"norm.{name}", "its formula in float64", [(ours, exact)], pairs, tolerance=TOLERANCE)


def test_the_norm_none_holds_nothing_and_does_nothing():
    model = _everywhere("none", 0.1).model
    for place, (_, width) in PLACES.items():
        norm, x = model.get_submodule(place), _rows(width)
        assert not list(norm.parameters())
        assert not list(norm.buffers())
        assert torch.equal(norm(x), x)
    assert not [name for name, _ in model.named_parameters() if "norm" in name]


@pytest.mark.parametrize("name", ["rms_norm", "layer_norm"])
def test_each_norm_has_weights_of_its_own(name):
    model = _everywhere(name, 0.1).model
    weights = [p for n, p in model.named_parameters(remove_duplicate=False) if n.endswith("norm.weight")]
    assert len(weights) == len({p.data_ptr() for p in weights}) == 2 * 4 + 1
