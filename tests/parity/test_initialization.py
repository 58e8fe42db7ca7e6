"""Every initialization against the distribution that its formula names, matrix by matrix."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.parity.networks import SMALL, Compiled, compiled, installed_names

TOLERANCE = 0.02
"""Of a distribution function, of 30,000 numbers and more: by chance they are 0.01 apart once in 200 matrices."""


def _normal(std: float) -> Callable[[Tensor], Tensor]:
    return lambda x: (1 + torch.erf(x / (std * math.sqrt(2)))) / 2


def _uniform(bound: float) -> Callable[[Tensor], Tensor]:
    return lambda x: ((x / bound + 1) / 2).clamp(0, 1)


GAINS = {"gelu": math.sqrt(2), "relu": math.sqrt(2), "tanh": 5 / 3, "linear": 1.0}


def _projection(said: dict[str, Any], fan_in: int, fan_out: int, into_residual: bool) -> Callable[[Tensor], Tensor]:
    """Return the distribution function of a projection's weights."""
    name = said["initialization_fn"]
    if name == "none":  # PyTorch's own for a linear layer
        return _uniform(1 / math.sqrt(fan_in))
    if name == "xavier":
        return _normal(said["gain"] * math.sqrt(2 / (fan_in + fan_out)))
    if name == "kaiming":
        return _normal(GAINS[said["nonlinearity"]] / math.sqrt({"fan_in": fan_in, "fan_out": fan_out}[said["mode"]]))
    assert name == "normal"
    narrowed = math.sqrt(2 * said["num_layers"]) if into_residual and said["scale_residual"] else 1
    return _normal(said["std"] / narrowed)


def _end(said: dict[str, Any], embedding: bool) -> Callable[[Tensor], Tensor]:
    """Return the distribution function of the embeddings or of the map to the vocabulary."""
    if said["initialization_fn"] == "none":
        return _normal(1.0) if embedding else _uniform(1 / math.sqrt(said["hidden_dim"]))
    return _normal(said.get("std", min(0.02, 0.5 / math.sqrt(said["hidden_dim"]))))


def _matrices(made: Compiled):
    """Yield each matrix, those of a fused projection one by one, and the distribution function that it should have."""
    said, model = made.options, made.model
    attn, ffn, hidden = model.core.blocks[2].attn, model.core.blocks[2].ffn, said["hidden_dim"]
    for part in attn.qkv.weight.split((384, 192, 192)):
        yield part, _projection(said, hidden, len(part), False)
    yield attn.out_proj.weight, _projection(said, 384, hidden, True)
    yield ffn.up.weight, _projection(said, hidden, 300, False)
    yield ffn.down.weight, _projection(said, 300, hidden, True)
    yield model.embedder.token_embedding.weight, _end(said, embedding=True)
    yield model.head.linear.weight, _end(said, embedding=False)


OPTIONS = {
    "kaiming": [[], ["mode=fan_out", "nonlinearity=tanh"], ["nonlinearity=linear"]],
    "xavier": [[], ["gain=0.5"]],
    "normal": [[], ["std=0.1", "scale_residual=false"]],
}


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, said) for name in installed_names("initialization") for said in OPTIONS.get(name, [[]])],
)
def test_each_matrix_is_drawn_from_the_distribution_of_the_formula(agree, name, options):
    made = compiled(
        SMALL,
        "model.hidden_dim=160",
        "model.vocab_size=256",
        "model.num_layers=3",
        "model.attn={attn_type: causal, num_kv_heads: 12, num_q_heads: 24, head_dim: 16, bias: true}",
        "model.ffn={ffn_type: generic, ffn_dim: 300, bias: true}",
        "model.embedding_weight_tying=false",
        f"model.initialization_fn={name}",
        *(f"model.{option}" for option in options),
    )
    pairs = []
    for matrix, distribution in _matrices(made):
        drawn = matrix.detach().flatten().double().sort().values
        pairs.append(((torch.arange(len(drawn)) + 0.5).double() / len(drawn), distribution(drawn)))
    agree(f"initialization.{name}", "the distribution that its formula names", pairs, tolerance=TOLERANCE)
    biases = [p for key, p in made.model.named_parameters() if key.endswith("bias")]
    assert len(biases) == 12
    assert any(bias.any() for bias in biases) is (name == "none")
