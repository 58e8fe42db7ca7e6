"""What each initialization draws: every weight matrix of a model against the formula, worked out here by hand.

A standard deviation measured on n samples is off by a fraction of about 1/√(2n), a mean by σ/√n, and the kurtosis of a
normal distribution by √(24/n); each is allowed five times that.
"""

import math
import re
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.cli.shipped import names
from stlm.compiler import compile
from stlm.components.initialization.kaiming import Kaiming
from stlm.nn import derive_seed
from stlm.nn.schemes import GAINS
from stlm.registry import parse_spec
from stlm.spec.declaration import declaration_of
from tests.benchmarks import untrained_loss

# No matrix is square, and no two widths are alike.
V, D, S, L, Q, KV, FFN = 500, 96, 70, 2, 6 * 24, 2 * 24, 224
SPEC = f"""\
model:
  model_shell_type: standard
  core_model_type: generic
  embedding_model_type: generic
  lm_head_type: generic
  lm_head_bias: true
  positional_encoding_type: learned
  tokenizer_type: bpe
  vocab_size: {V}
  tokenizer_dataset_name: python_docs
  hidden_dim: {D}
  context_window: {S}
  num_layers: {L}
  attn: {{attn_type: causal, num_kv_heads: 2, num_q_heads: 6, head_dim: 24, bias: true, normalization: layer_norm}}
  ffn: {{ffn_type: silu_ffn, ffn_dim: {FFN}, bias: true}}
"""
SEED = 5
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "initialization.md"
END = 0.02
"""How embeddings and head start under `xavier` and `kaiming`: below a width of 625, 0.02."""


def started(*changes: str, tied: bool = False, spec: str = SPEC, seed: int = SEED) -> Any:
    common = [f"general.seed={seed}", f"model.embedding_weight_tying={tied}"]
    return compile(parse_spec(spec, [*common, *(f"model.{change}" for change in changes)]), "cpu").model


class Matrix(NamedTuple):
    """A weight matrix of the model above: what it maps from and to, and its place."""

    name: str
    values: Tensor
    fan_in: int
    fan_out: int
    place: str = "inside"


def matrices(model: Any, feed_forward: tuple[str, ...] = ("gate", "up")) -> Iterator[Matrix]:
    yield Matrix("head", model.head.weight, D, V, "end")
    if model.head.weight is not model.embedder.token_embedding.weight:
        yield Matrix("embedding", model.embedder.token_embedding.weight, D, V, "end")
    yield Matrix("positions", model.positional_encoding.position_embedding.weight, D, S, "end")
    for block in model.core.blocks:
        qkv = block.attn.qkv.weight
        yield Matrix("q", qkv[:Q], D, Q)
        yield Matrix("k", qkv[Q : Q + KV], D, KV)
        yield Matrix("v", qkv[Q + KV :], D, KV)
        yield Matrix("out_proj", block.attn.out_proj.weight, Q, D, "into residual")
        for name in feed_forward:
            yield Matrix(name, getattr(block.ffn, name).weight, D, FFN)
        yield Matrix("down", block.ffn.down.weight, FFN, D, "into residual")


def assert_drawn_from(matrix: Matrix, std: float, kurtosis: float) -> None:
    values = matrix.values.detach().double().flatten()
    count, spread = values.numel(), values.std().item()
    assert values.isfinite().all()
    assert matrix.values.shape == (matrix.fan_out, matrix.fan_in), matrix.name
    assert spread == pytest.approx(std, rel=5 / math.sqrt(2 * count)), matrix.name
    assert values.mean().abs() < 5 * std / math.sqrt(count), matrix.name
    found = (values - values.mean()).pow(4).mean().item() / spread**4
    assert found == pytest.approx(kurtosis, abs=5 * math.sqrt(24 / count)), matrix.name


def assert_rest_is_plain(model: nn.Module) -> None:
    """Biases are 0, weights of norms 1."""
    rest = {name: p for name, p in model.named_parameters() if p.dim() != 2}
    assert {name.rpartition(".")[2] for name in rest} == {"weight", "bias"}
    for name, parameter in rest.items():
        assert torch.all(parameter == (1.0 if name.endswith("norm.weight") else 0.0)), name


NORMAL, UNIFORM = 3.0, 1.8
"""The kurtosis of a normal and of a uniform distribution."""


@pytest.mark.parametrize("tied", [True, False])
def test_no_matrix_is_forgotten_here(tied):
    model = started(tied=tied)
    covered = sum(matrix.values.numel() for matrix in matrices(model))
    assert covered == sum(p.numel() for p in model.parameters() if p.dim() == 2)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("gain", [None, 0.25, 1.0, 3.0])
def test_xavier_draws_from_both_fans(gain, tied):
    model = started("initialization_fn=xavier", *([] if gain is None else [f"gain={gain}"]), tied=tied)
    for matrix in matrices(model):
        inside = (gain or 1.0) * math.sqrt(2 / (matrix.fan_in + matrix.fan_out))
        assert_drawn_from(matrix, END if matrix.place == "end" else inside, NORMAL)
    assert_rest_is_plain(model)


HANDMADE_GAINS = {
    "gelu": 2**0.5,
    "silu": 2**0.5,
    "relu": 2**0.5,
    "leaky_relu": (2 / 1.0001) ** 0.5,
    "tanh": 5 / 3,
    "sigmoid": 1,
    "selu": 3 / 4,
    "linear": 1,
}
NONLINEARITIES = get_args(declaration_of(Kaiming).types["nonlinearity"])
MODES = get_args(declaration_of(Kaiming).types["mode"])


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("mode", "nonlinearity"), [(None, None), *product(MODES, NONLINEARITIES)])
def test_kaiming_draws_from_one_fan_and_a_gain(mode, nonlinearity, tied):
    said = [f"mode={mode}", f"nonlinearity={nonlinearity}"] if mode else []
    model = started("initialization_fn=kaiming", *said, tied=tied)
    gain = HANDMADE_GAINS[nonlinearity or "gelu"]
    for matrix in matrices(model):
        fan = matrix.fan_out if mode == "fan_out" else matrix.fan_in
        assert_drawn_from(matrix, END if matrix.place == "end" else gain / math.sqrt(fan), NORMAL)
    assert_rest_is_plain(model)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("std", "scaled"), list(product((None, 0.02, 0.3), (None, True, False))))
def test_normal_draws_all_alike_but_what_joins_the_residual_stream(std, scaled, tied):
    said = {"std": std, "scale_residual": scaled}
    model = started("initialization_fn=normal", *(f"{k}={v}" for k, v in said.items() if v is not None), tied=tied)
    for matrix in matrices(model):
        narrowed = matrix.place == "into residual" and scaled is not False
        assert_drawn_from(matrix, (std or 0.02) / (math.sqrt(2 * L) if narrowed else 1), NORMAL)
    assert_rest_is_plain(model)


@pytest.mark.parametrize("scheme", ["xavier", "kaiming", "normal"])
def test_the_other_feed_forward_network_starts_alike(scheme):
    plain = "ffn={ffn_type: generic, ffn_dim: %d, bias: true}" % FFN  # noqa: UP031
    model = started(f"initialization_fn={scheme}", plain)
    for matrix in matrices(model, ("up",)):
        inside = {
            "xavier": math.sqrt(2 / (matrix.fan_in + matrix.fan_out)),
            "kaiming": math.sqrt(2 / matrix.fan_in),
            "normal": 0.02 / (math.sqrt(2 * L) if matrix.place == "into residual" else 1),
        }
        assert_drawn_from(matrix, END if matrix.place == "end" else inside[scheme], NORMAL)
    assert_rest_is_plain(model)


def test_normal_is_no_wider_by_default_than_keeps_wide_models_even():
    for width, std in ((2500, 0.02), (2501, 1 / math.sqrt(2501)), (8192, 1 / math.sqrt(8192))):
        spec = parse_spec(SPEC, ["model.initialization_fn=normal", f"model.hidden_dim={width}"])
        assert spec.model.initialization.std == pytest.approx(std)


def as_torch_makes_it(path: str, module: nn.Module) -> nn.Module | None:
    """Make the module's counterpart in `torch.nn`, with torch's global stream seeded as the module's own is."""
    torch.manual_seed(derive_seed(SEED, "initialization", path))
    match module:
        case nn.Linear():
            return nn.Linear(module.in_features, module.out_features, module.bias is not None)
        case nn.Embedding():
            return nn.Embedding(module.num_embeddings, module.embedding_dim)
        case nn.LayerNorm():
            return nn.LayerNorm(module.normalized_shape)
    return None


@pytest.mark.parametrize("tied", [True, False])
def test_none_is_bit_for_bit_torchs_own_start(tied):
    model = started(
        "initialization_fn=none", "ffn.normalization=layer_norm", "lm_head_normalization=layer_norm", tied=tied
    )
    compared = set()
    for path, module in model.named_modules():
        counterpart = as_torch_makes_it(path, module)
        if counterpart is None or (tied and path == "embedder.token_embedding"):
            continue
        for name, wanted in counterpart.named_parameters():
            assert torch.equal(getattr(module, name), wanted), f"{path}.{name}"
            compared.add(id(getattr(module, name)))
    assert compared == {id(parameter) for parameter in model.parameters()}


def test_none_draws_from_torchs_distributions():
    for matrix in matrices(started("initialization_fn=none")):
        table = matrix.name in ("embedding", "positions")
        std = 1.0 if table else 1 / math.sqrt(3 * matrix.fan_in)
        assert_drawn_from(matrix, std, NORMAL if table else UNIFORM)


GPT2 = """\
model:
  model_shell_type: standard
  core_model_type: generic
  embedding_model_type: generic
  lm_head_type: generic
  lm_head_normalization: layer_norm
  positional_encoding_type: learned
  initialization_fn: normal
  tokenizer_type: bpe
  vocab_size: 500
  tokenizer_dataset_name: python_docs
  hidden_dim: 96
  context_window: 70
  num_layers: 3
  attn: {attn_type: causal, num_kv_heads: 6, bias: true, normalization: layer_norm}
  ffn: {ffn_type: generic, ffn_dim: 384, activation: gelu_tanh, bias: true, normalization: layer_norm}
"""
THEIR_NAMES = {
    "transformer.wte.weight": "embedder.token_embedding.weight",
    "transformer.wpe.weight": "positional_encoding.position_embedding.weight",
    "transformer.h.{}.attn.c_attn.weight": "core.blocks.{}.attn.qkv.weight",
    "transformer.h.{}.attn.c_proj.weight": "core.blocks.{}.attn.out_proj.weight",
    "transformer.h.{}.mlp.c_fc.weight": "core.blocks.{}.ffn.up.weight",
    "transformer.h.{}.mlp.c_proj.weight": "core.blocks.{}.ffn.down.weight",
}


def test_normal_is_gpt2s_start():
    """As transformers makes it: the same spread of each matrix, and nothing else drawn."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(GPT2Config(vocab_size=500, n_positions=70, n_embd=96, n_layer=3, n_head=6))
    ours = started(spec=GPT2, tied=True)
    found, wanted = dict(ours.named_parameters()), dict(theirs.named_parameters())
    pairs = {their.format(layer): our.format(layer) for their, our in THEIR_NAMES.items() for layer in range(3)}
    assert set(pairs) == {name for name, p in wanted.items() if p.dim() == 2}
    assert set(pairs.values()) == {name for name, p in found.items() if p.dim() == 2}
    for their, our in pairs.items():
        spread, count = wanted[their].std().item(), found[our].numel()
        assert count == wanted[their].numel()
        assert found[our].std().item() == pytest.approx(spread, rel=5 / math.sqrt(count)), our  # both are measured
    for parameters in (found, wanted):
        rest = [(name.rpartition(".")[2], p) for name, p in parameters.items() if p.dim() == 1]
        assert all(torch.all(p == (1.0 if name == "weight" else 0.0)) for name, p in rest)


SCHEMES = untrained_loss.initializations()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_any_scheme_fills_modules_by_the_seed_and_their_names(scheme):
    one, same, other = (started(f"initialization_fn={scheme}", seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(tensor.isfinite().all() for tensor in one.values())
    assert all(torch.equal(one[name], same[name]) for name in one)
    drawn = {name: tensor for name, tensor in one.items() if tensor.dim() == 2}
    assert not [name for name in drawn if torch.equal(one[name], other[name])]
    for (first, a), (second, b) in pairwise(sorted(drawn.items(), key=lambda item: item[1].shape)):
        assert a.shape != b.shape or not torch.equal(a, b), f"{first} and {second}"


ACTIVATIONS = {
    "gelu": F.gelu,
    "silu": F.silu,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "selu": F.selu,
    "linear": lambda x: x,
}


def second_moment(name: str, std: float = 1.0) -> float:
    """Integrate E[φ(z)²] for z ~ N(0, std), by a sum over 240,001 points."""
    z = torch.linspace(-12, 12, 240_001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi) * (24 / 240_000)
    return (ACTIVATIONS[name](std * z).square() * density).sum().item()


def rows(heading: str) -> list[list[str]]:
    """Read the table under a heading of the page on initialization: cells, the head's row first."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|") and not line.startswith("|--")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_tells_the_gains_as_they_are():
    found = {name: [float(number) for number in numbers] for name, *numbers in rows("Gains")[1:]}
    assert set(found) == set(GAINS) == set(NONLINEARITIES)
    for name, (gain, exact, kept, kept_when_wide) in found.items():
        assert gain == pytest.approx(GAINS[name], abs=6e-4)
        assert exact == pytest.approx(second_moment(name) ** -0.5, abs=6e-4)
        assert kept == pytest.approx(GAINS[name] ** 2 * second_moment(name), abs=6e-4)
        assert kept_when_wide == pytest.approx(GAINS[name] ** 2 * second_moment(name, 4.0) / 16, abs=6e-4)


def table() -> dict[tuple[str, str], tuple[float, float]]:
    """Read the losses on the page, tied and untied, by spec and scheme."""
    head, *body = rows("The loss of an untrained model")
    return {
        (re.match(r"[\w.-]+", first)[0], scheme.strip("`")): tuple(float(number) for number in cell.split(" / "))
        for first, *cells in body
        for scheme, cell in zip(head[1:], cells, strict=True)
    }


def test_the_page_has_every_spec_and_every_scheme_and_all_guess_evenly():
    found = table()
    assert set(found) == set(product(names(), SCHEMES))
    assert all(0.9 < loss < 1.1 for losses in found.values() for loss in losses)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["quickstart", "stlm-10m"])
def test_an_untrained_model_guesses_evenly_as_the_page_says(name, scheme):
    losses = [untrained_loss.ratio(untrained_loss.chosen(name, scheme, tied, None)) for tied in (True, False)]
    assert losses == pytest.approx([1.0, 1.0], abs=0.1)
    assert losses == pytest.approx(table()[name, scheme], abs=2e-3)
