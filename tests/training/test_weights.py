"""A model's weights in a file, and back."""

import json

import pytest
import torch
from safetensors import safe_open
from torch import nn

from stlm.training.weights import load_weights, save_weights


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


def test_a_shared_weight_is_stored_once_and_still_shared_after_loading(tmp_path):
    source, target = Tied(), Tied()
    save_weights(source, tmp_path / "w.safetensors")
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert list(file.keys()) == ["embed.weight"]
        assert json.loads(file.metadata()["shared"]) == {"head.weight": "embed.weight"}
    load_weights(target, tmp_path / "w.safetensors")
    assert torch.equal(target.head.weight, source.embed.weight)
    assert target.head.weight is target.embed.weight


def test_weights_of_another_model_are_refused_before_anything_changes(tmp_path):
    save_weights(nn.Linear(3, 5), tmp_path / "w.safetensors")
    other = nn.Linear(4, 5)
    before = other.bias.clone()
    with pytest.raises(ValueError, match=r"`weight` is \(5, 3\), and \(5, 4\) in this model"):
        load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(other.bias, before)
