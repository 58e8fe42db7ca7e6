"""Blocks that are run again in the backward pass, with each attention of the package in them."""

from pathlib import Path

import pytest
import torch

import stlm

SPECS = sorted(path.name for path in Path(__file__).parents[1].glob("*.yaml"))


@pytest.mark.parametrize("name", SPECS)
def test_gradients_are_the_very_same(shipped, name):
    """With dropout, whose draws must come again."""

    def gradients(*overrides):
        dropout = "model.ffn={ffn_type: generic, ffn_dim: 32, ffn_dropout: 0.2}"
        model = stlm.compile(shipped(name, dropout, *overrides), "cpu").model.train()
        ids = torch.randint(512, (2, 16), generator=torch.Generator().manual_seed(0))
        torch.manual_seed(0)
        model(ids).log_softmax(-1)[..., 7].mean().backward()
        return {path: parameter.grad for path, parameter in model.named_parameters()}

    expected, found = gradients(), gradients("model.activation_checkpointing=full")
    assert all(gradient.any() for gradient in expected.values())
    assert [path for path, gradient in expected.items() if not torch.equal(found[path], gradient)] == []
