"""Differential attention against transformers' DiffLlama, the paper's numbers, and what torch says it costs."""

from typing import Any

import pytest
import torch
from stlm_attention.nn.differential import DifferentialAttention, lambda_init
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import stlm
from stlm.nn import Context, RMSNorm, Rotary, cost
from stlm.spec import SpecError

diffllama = pytest.importorskip("transformers.models.diffllama.modeling_diffllama", reason="needs transformers")

HIDDEN, EPS, LAYER = 48, 1e-5, 3


def made(q_heads: int = 2, kv_heads: int = 2, head_dim: int = 8, bias: bool = False) -> DifferentialAttention:
    return DifferentialAttention(
        HIDDEN,
        num_q_heads=q_heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        lambda_init=lambda_init(LAYER),
        norm=nn.Identity(),
        head_norm=RMSNorm(2 * head_dim, eps=EPS),
        bias=bias,
    )


def theirs(q_heads: int, kv_heads: int, head_dim: int, bias: bool) -> Any:
    """DiffLlama counts the halves of our heads as heads; its pair of i is i and i + half of them."""
    config = diffllama.DiffLlamaConfig(
        hidden_size=HIDDEN,
        num_attention_heads=2 * q_heads,
        num_key_value_heads=2 * kv_heads,
        head_dim=head_dim,
        attention_bias=bias,
        rms_norm_eps=EPS,
        rope_theta=10_000.0,
    )
    config._attn_implementation = "eager"
    return diffllama.DiffLlamaAttention(config, LAYER), diffllama.DiffLlamaRotaryEmbedding(config)


def with_their_weights(ours: DifferentialAttention, reference: Any) -> list[tuple[Tensor, list[Tensor]]]:
    """Copy their weights into ours, and pair each of ours with those of which it is made, row upon row."""
    pairs = [(ours.out_proj.weight, [reference.o_proj.weight])]
    pairs += [
        (getattr(ours, f"lambda_{name}"), [getattr(reference, f"lambda_{name}")]) for name in ("q1", "k1", "q2", "k2")
    ]
    projections = (reference.q_proj, reference.k_proj, reference.v_proj)
    pairs += [(ours.qkv.weight, [p.weight for p in projections])]
    if ours.qkv.bias is not None:
        pairs += [(ours.qkv.bias, [p.bias for p in projections]), (ours.out_proj.bias, [reference.o_proj.bias])]
    with torch.no_grad():
        for parameter, parts in pairs:
            parameter.copy_(torch.cat(parts))
    return pairs


@pytest.mark.parametrize(
    ("q_heads", "kv_heads", "head_dim", "bias", "seq"),
    [(2, 2, 8, False, 11), (1, 1, 24, True, 7), (6, 2, 4, False, 9), (4, 1, 6, True, 1)],
)
def test_outputs_and_gradients_are_those_of_diffllama(q_heads, kv_heads, head_dim, bias, seq):
    """Both compute in float32, by other kernels; 2e-5 is some hundred roundings at the size of these numbers."""
    torch.manual_seed(0)
    reference, rotary = theirs(q_heads, kv_heads, head_dim, bias)
    ours = made(q_heads, kv_heads, head_dim, bias)
    pairs = with_their_weights(ours, reference)
    x, weights = torch.randn(2, seq, HIDDEN, requires_grad=True), torch.randn(2, seq, HIDDEN)
    positions = torch.arange(seq).unsqueeze(0)
    mask = torch.full((seq, seq), -torch.inf).triu(1)[None, None]

    expected, _ = reference(x, rotary(x, positions), mask)
    (d_expected,) = torch.autograd.grad((expected * weights).sum(), x, retain_graph=True)
    (expected * weights).sum().backward()
    x.grad = None
    given = ours(x, Context(torch.zeros(2, seq, dtype=torch.long), positions, None, Rotary()))
    (given * weights).sum().backward()

    torch.testing.assert_close(given, expected, rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(x.grad, d_expected, rtol=2e-5, atol=2e-5)
    for parameter, parts in pairs:
        torch.testing.assert_close(parameter.grad, torch.cat([p.grad for p in parts]), rtol=1e-4, atol=1e-4)


def test_lambda_starts_from_the_numbers_of_the_paper_by_depth(shipped):
    """0.8 - 0.6·e^(-0.3·(l - 1)): l = 1, 2, 3 and 12, worked out with e^-0.3 = 0.740818, e^-3.3 = 0.0368832."""
    numbers = [lambda_init(layer) for layer in (0, 1, 2, 11)]
    assert numbers == pytest.approx([0.2, 0.355509, 0.470713, 0.777870], abs=1e-6)
    blocks = stlm.compile(shipped("differential.yaml", "model.num_layers=3"), "cpu").model.core.blocks
    assert [block.attn.lambda_init for block in blocks] == pytest.approx(numbers[:3])


def test_the_vectors_of_lambda_are_drawn_as_in_the_paper():
    """From N(0, 0.1²): 512 numbers tell the deviation to 0.003, and so the mean to 0.0045."""
    torch.manual_seed(0)
    attn = made(head_dim=128)
    vectors = torch.cat([getattr(attn, f"lambda_{name}").detach() for name in ("q1", "k1", "q2", "k2")])
    assert vectors.numel() == 512
    assert vectors.std().item() == pytest.approx(0.1, abs=0.015)
    assert vectors.mean().item() == pytest.approx(0, abs=0.02)


def test_its_weights_beyond_those_of_causal_are_six_widths_of_a_map(shipped):
    """Four vectors of λ, and the norm of a head, twice as wide."""

    def counted(attn: str) -> int:
        attn = f"model.attn={{attn_type: {attn}}}"
        return stlm.compile(shipped("differential.yaml", attn, "model.num_layers=1"), "meta").report.parameters.total

    assert counted("differential, num_kv_heads: 2") - counted("causal, num_kv_heads: 4, num_q_heads: 4") == (4 + 2) * 8


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("more", [(), ("model.positional_encoding_type=none", "model.attn.num_kv_heads=2")], ids=str)
def test_what_is_kept_is_foretold_and_no_map_is_among_it(shipped, share_foretold, more, precision):
    """A map of 256 × 256 tokens would be more than ten times the share that is allowed."""
    spec = shipped("differential.yaml", "model.context_window=256", *more)
    assert share_foretold(spec, precision) == pytest.approx(1, rel=0.01)


def test_operations_are_those_that_torch_counts_in_diffllama():
    """Theirs has no causal mask in its products, and computes scores twice: 16 parts where 12 would do."""
    reference, rotary = theirs(2, 1, 8, bias=False)
    x, positions = torch.randn(1, 32, HIDDEN), torch.arange(32).unsqueeze(0)
    with FlopCounterMode(display=False) as counter:
        reference(x, rotary(x, positions), None)
    projections = 2 * 32 * sum(p.numel() for p in reference.parameters() if p.dim() == 2)
    maps = counter.get_total_flops() - projections
    assert cost.flops_per_token(made(2, 1, 8), 32) * 32 == projections + maps * 12 / 16 / 2


def test_its_spec_trains_and_a_run_that_stops_goes_on_bit_for_bit(learns_and_goes_on):
    learns_and_goes_on("differential.yaml")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("model.attn.num_kv_heads=3", "`num_q_heads` is 2, which is no multiple of `num_kv_heads` 3"),
        ("model.hidden_dim=50", "`hidden_dim` 50 cannot be split evenly among `num_q_heads` 2, each with two maps"),
        ("model.attn.head_dim=5", "`rope` rotates pairs of elements, but `attn.head_dim` is 5"),
    ],
)
def test_a_mistake_is_told_in_a_line(shipped, change, says):
    with pytest.raises(SpecError) as caught:
        shipped("differential.yaml", change)
    assert any(says in found.message for found in caught.value.diagnostics)
