"""Options that several kinds of attention have: dropout at the entrance, the norm of q and k, and all defaults."""

import pytest
import torch
from torch import Tensor

import stlm
from stlm.nn import Context
from stlm.registry.describe import describe_component

WITH_DROPOUT = {"sliding_window": ["qkv"], "alibi": ["qkv"], "linear": ["qkv"], "gated_linear": ["qkvr", "decay_down"]}
"""Kinds with `attn_dropout`, and the maps that read what it leaves."""


def drawn(seq: int) -> tuple[Tensor, Context]:
    x = torch.randn(4, seq, 32, generator=torch.Generator().manual_seed(0))
    return x, Context(torch.zeros(4, seq, dtype=torch.long), torch.arange(seq).unsqueeze(0))


@pytest.mark.parametrize("name", WITH_DROPOUT)
def test_dropout_in_training_zeroes_its_share_of_the_normalized_input_and_scales_the_rest(shipped, name):
    attn = stlm.compile(shipped(f"{name}.yaml", "model.attn.attn_dropout=0.25"), "cpu").model.core.blocks[0].attn
    (x, context), read = drawn(16), []
    for reader in WITH_DROPOUT[name]:
        attn.get_submodule(reader).register_forward_pre_hook(lambda module, args: read.append(args[0].detach()))
    whole = attn.eval()(x, context)
    assert all(torch.equal(one, attn.norm(x)) for one in read)
    normalized = read[0]
    read.clear()
    torch.manual_seed(0)
    first, second = attn.train()(x, context), attn(x, context)
    torch.manual_seed(0)
    assert torch.equal(attn(x, context), first)
    assert not torch.allclose(first, whole)
    assert not torch.equal(first, second)
    for one in read:
        kept = one != 0
        assert kept.float().mean() == pytest.approx(0.75, abs=0.04)  # of 2048, whose share is known to 0.01
        torch.testing.assert_close(one[kept], normalized[kept] / 0.75)
    assert all(torch.equal(one, read[0]) for one in read[: len(WITH_DROPOUT[name])])


@pytest.mark.parametrize("name", ["sliding_window", "alibi"])
@pytest.mark.parametrize("part", ["q", "k"])
def test_the_norm_of_q_and_k_acts_on_both(shipped, name, part):
    """Ten times as large, q or k is normalized to the same; without a norm it is not."""
    x, context = drawn(8)
    changes = []
    for norm in ("rms_norm", "none"):
        heads = "model.attn.num_q_heads=4", "model.attn.num_kv_heads=2", f"model.attn.qk_norm={norm}"
        attn = stlm.compile(shipped(f"{name}.yaml", *heads), "cpu").model.core.blocks[0].attn.eval()
        with torch.no_grad():
            attn.qkv.weight.mul_(3)
            was = attn(x, context)
            of_q, of_k, _ = attn.qkv.weight.split((32, 16, 16))
            {"q": of_q, "k": of_k}[part].mul_(10)
            changes.append((attn(x, context) - was).abs().max().item() / was.abs().max().item())
    normalized, free = changes
    assert normalized < 1e-4 < 0.1 < free


def test_a_decay_is_the_root_that_a_spec_says(shipped):
    """Of the temperature τ: σ(b)^(1/τ) where nothing but the bias b is left; S₂ = α k vᵀ + k vᵀ."""
    for temperature in (1.0, 5.0):
        spec = shipped("gated_linear.yaml", f"model.attn.decay_temperature={temperature}", "model.attn.num_heads=1")
        attn = stlm.compile(spec, "cpu").model.core.blocks[0].attn.eval()
        state = attn.init_state(1, 2, torch.device("cpu"), torch.float32)
        with torch.no_grad():
            attn.decay_up.weight.zero_()
            attn.decay_up.bias.fill_(-1.0)
            x, (_, context) = torch.randn(1, 1, 32).expand(1, 2, 32), drawn(2)
            context.token_ids = context.token_ids[:1]
            attn(x[:, :1], Context(context.token_ids[:, :1], torch.zeros(1, 1, dtype=torch.long)), state)
            once = state.sums.clone()
            attn(x[:, 1:], Context(context.token_ids[:, 1:], torch.ones(1, 1, dtype=torch.long)), state)
        alpha = torch.sigmoid(torch.tensor(-1.0)) ** (1 / temperature)
        torch.testing.assert_close(state.sums, once * (1 + alpha))


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("sliding_window", {"bias": False, "attn_dropout": 0.0, "normalization": "rms_norm", "qk_norm": "none"}),
        ("alibi", {"bias": False, "attn_dropout": 0.0, "normalization": "rms_norm", "qk_norm": "none"}),
        ("linear", {"chunk_size": 64, "bias": False, "attn_dropout": 0.0, "normalization": "rms_norm"}),
        ("gated_linear", {"decay_rank": 16, "decay_temperature": 16.0, "chunk_size": 64, "attn_dropout": 0.0}),
        ("gated_linear", {"normalization": "rms_norm", "head_norm": "rms_norm"}),
        ("differential", {"bias": False, "normalization": "rms_norm", "head_norm": "rms_norm"}),
        ("latent", {"q_lora_rank": "none", "normalization": "rms_norm", "latent_norm": "rms_norm"}),
    ],
)
def test_defaults_are_those_that_the_readme_names(name, defaults):
    described = {one["key"]: one["default"] for one in describe_component("attention", name)["options"]}
    assert {key: described[key] for key in defaults} == defaults
