"""Dropout acts in training, at the places and rates that the spec says, and not at all otherwise."""

import pytest
import torch
import torch.nn.functional as F

from tests.parity.networks import SMALL, Batch, compare_by_hand, compiled

RATES = {"embedding_dropout": 0.1, "attn.attn_dropout": 0.2, "ffn.ffn_dropout": 0.3, "lm_head_dropout": 0.4}
IDS = torch.randint(40, (2, 9), generator=torch.Generator().manual_seed(0))


def _masks(*rates: float) -> list[torch.Tensor]:
    return [F.dropout(torch.ones(2, 9, 24), rate).double() for rate in rates]


@pytest.mark.parametrize("positions", ["learned", "sincos", "rope"])
@pytest.mark.parametrize("norm", ["rms_norm", "layer_norm"])
def test_each_dropout_acts_at_its_place_and_rate(agree, positions, norm):
    """After positions are added, after the norm of each block, and after the head's norm: masked there by hand."""
    said = {**RATES, "attn.normalization": norm, "ffn.normalization": norm, "positional_encoding_type": positions}
    made = compiled(SMALL, *(f"model.{key}={value}" for key, value in said.items()), seed=0)
    made.model.train()
    torch.manual_seed(1)
    masks = _masks(0.1, 0.2, 0.3, 0.2, 0.3, 0.4)
    torch.manual_seed(1)
    compare_by_hand(agree, made, Batch(IDS), masks)


@pytest.mark.parametrize("key", RATES)
def test_a_dropout_does_something_in_training_and_nothing_in_evaluation(key):
    made, without = (compiled(SMALL, f"model.{key}={rate}", seed=0) for rate in (0.3, 0.0))
    assert torch.equal(made.model(IDS), without.model(IDS))
    made.model.train()
    without.model.train()
    first, second = made.model(IDS), made.model(IDS)
    assert not torch.equal(first, second)
    assert torch.equal(without.model(IDS), without.model(IDS))
    made.model.eval()
    assert torch.equal(made.model(IDS), without.model.eval()(IDS))
