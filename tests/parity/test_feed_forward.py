"""Every feed-forward network against its formula."""

import pytest
import torch

from stlm.nn import Context
from tests.parity.by_hand import ByHand
from tests.parity.networks import SMALL, TOLERANCE, compiled, installed_names


@pytest.mark.parametrize("name", installed_names("ffn"))
@pytest.mark.parametrize("bias", ["true", "false"])
@pytest.mark.parametrize("norm", ["rms_norm", "layer_norm", "none"])
def test_a_feed_forward_network_is_its_formula(agree, name, bias, norm):
    """Norm first, then the layers; the residual is the block's affair."""
    said = {"ffn_type": name, "ffn_dim": 10, "bias": bias, "normalization": norm}
    made = compiled(SMALL, *(f"model.ffn.{key}={value}" for key, value in said.items()), seed=0)
    ffn, path = made.model.core.blocks[1].ffn, "core.blocks.1.ffn"
    x = torch.randn(3, 5, 24, generator=torch.Generator().manual_seed(0)).requires_grad_()
    context = Context(torch.zeros(3, 5, dtype=torch.long), torch.arange(5).unsqueeze(0))
    hand = ByHand(made.options, made.model)
    ours, theirs = ffn(x, context), hand.feed_forward(path, x.double())
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)) / x.numel() ** 0.5
    leaves = [hand.leaves[f"{path}.{key}"] for key, _ in ffn.named_parameters()]
    mine = torch.autograd.grad((ours * weights).sum(), (x, *ffn.parameters()))
    wanted = torch.autograd.grad((theirs * weights).sum(), (x, *leaves))
    pairs = zip(mine, wanted, strict=True)
    agree(f"ffn.{name}", "its formula in float64", [(ours, theirs)], pairs, tolerance=TOLERANCE)
