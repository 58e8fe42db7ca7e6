"""Latent attention against transformers' DeepSeek-V2 and V3, and a cache of latents against no cache at all."""

from typing import Any

import pytest
import torch
from stlm_attention.nn.latent import LatentAttention
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import stlm
from stlm.nn import Context, NoPositions, RMSNorm, Rotary, cost
from stlm.spec import SpecError

v2 = pytest.importorskip("transformers.models.deepseek_v2.modeling_deepseek_v2", reason="needs transformers")
v3 = pytest.importorskip("transformers.models.deepseek_v3.modeling_deepseek_v3", reason="needs transformers")

HIDDEN, EPS = 48, 1e-6


def made(
    heads: int = 3, nope: int = 8, rope: int = 4, v: int = 8, rank: int = 20, q_rank: int | None = None
) -> LatentAttention:
    return LatentAttention(
        HIDDEN,
        num_heads=heads,
        qk_nope_head_dim=nope,
        qk_rope_head_dim=rope,
        v_head_dim=v,
        kv_lora_rank=rank,
        q_lora_rank=q_rank,
        norm=nn.Identity(),
        kv_norm=RMSNorm(rank, eps=EPS),
        q_norm=RMSNorm(q_rank, eps=EPS) if q_rank else None,
    )


def theirs(version: Any, ours: LatentAttention, q_rank: int | None) -> tuple[Any, Any]:
    name = version.__name__.rpartition("_")[2].upper()
    config = getattr(version, f"Deepseek{name}Config")(
        hidden_size=HIDDEN,
        num_attention_heads=ours.num_heads,
        num_key_value_heads=ours.num_heads,
        qk_nope_head_dim=ours.qk_nope_head_dim,
        qk_rope_head_dim=ours.qk_rope_head_dim,
        v_head_dim=ours.v_head_dim,
        kv_lora_rank=ours.kv_lora_rank,
        q_lora_rank=q_rank,
        head_dim=ours.qk_rope_head_dim,
        rope_theta=10_000.0,
    )
    config._attn_implementation = "eager"
    attention = getattr(version, f"Deepseek{name}Attention")(config, 0)
    return attention, getattr(version, f"Deepseek{name}RotaryEmbedding")(config)


def our_rows(ours: LatentAttention, of_q: Tensor, of_kv: Tensor, made_of_latent: Tensor) -> tuple[Tensor, ...]:
    """Order the rows of their q, of their latent with the rotated key, and of their keys and values as ours are.

    They rotate neighbors, we rotate elements that are half a width apart; they have a head's key beside its value.
    """
    n, p, rank = ours.qk_nope_head_dim, ours.qk_rope_head_dim, ours.kv_lora_rank
    apart = torch.cat((torch.arange(0, p, 2), torch.arange(1, p, 2)))
    heads = of_q.unflatten(0, (ours.num_heads, n + p))
    heads = torch.cat((heads[:, :n], heads[:, n:][:, apart]), dim=1)
    of_k, of_v = made_of_latent.unflatten(0, (ours.num_heads, -1)).split((n, ours.v_head_dim), dim=1)
    both = torch.cat((of_k.flatten(0, 1), of_v.flatten(0, 1)))
    return heads.flatten(0, 1), torch.cat((of_kv[:rank], of_kv[rank:][apart])), both


def paired(ours: LatentAttention, reference: Any, of: Any) -> list[tuple[Tensor, Tensor]]:
    """Pair each weight of ours (or what ``of`` makes of it, its gradient) with theirs in our order of rows."""
    direct = reference.q_proj is not None
    q = (reference.q_proj if direct else reference.q_b_proj).weight
    q, kv, both = our_rows(ours, of(q), of(reference.kv_a_proj_with_mqa.weight), of(reference.kv_b_proj.weight))
    first = q if direct else of(reference.q_a_proj.weight)
    pairs = [(ours.qkv_a.weight, torch.cat((first, kv))), (ours.kv_b.weight, both)]
    pairs += [
        (ours.out_proj.weight, of(reference.o_proj.weight)),
        (ours.kv_norm.weight, of(reference.kv_a_layernorm.weight)),
    ]
    if not direct:
        pairs += [(ours.q_b.weight, q), (ours.q_norm.weight, of(reference.q_a_layernorm.weight))]
    return [(of(parameter), theirs) for parameter, theirs in pairs]


@pytest.mark.parametrize("version", [v2, v3], ids=["v2", "v3"])
@pytest.mark.parametrize(
    ("options", "q_rank", "seq"),
    [({}, None, 11), ({}, 10, 9), ({"heads": 1, "nope": 6, "rope": 2, "v": 12, "rank": 6}, 7, 8), ({"v": 12}, None, 1)],
)
def test_outputs_and_gradients_are_those_of_deepseek(version, options, q_rank, seq):
    """Both compute in float32, by other kernels; 2e-5 is some hundred roundings at the size of these numbers."""
    torch.manual_seed(0)
    ours = made(**options, q_rank=q_rank)
    reference, rotary = theirs(version, ours, q_rank)
    for norm in (reference.kv_a_layernorm, reference.q_a_layernorm):
        if norm is not None:
            nn.init.normal_(norm.weight, 1.0, 0.3)
    with torch.no_grad():
        for parameter, value in paired(ours, reference, lambda weight: weight.data):
            parameter.copy_(value)
    x, weights = torch.randn(2, seq, HIDDEN, requires_grad=True), torch.randn(2, seq, HIDDEN)
    positions = torch.arange(seq).unsqueeze(0)
    mask = torch.full((seq, seq), -torch.inf).triu(1)[None, None]

    expected, *_ = reference(x, attention_mask=mask, position_embeddings=rotary(x, positions))
    (expected * weights).sum().backward()
    d_expected, x.grad = x.grad, None
    given = ours(x, Context(torch.zeros(2, seq, dtype=torch.long), positions, None, Rotary()))
    (given * weights).sum().backward()

    torch.testing.assert_close(given, expected, rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(x.grad, d_expected, rtol=2e-5, atol=2e-5)
    for gradient, value in paired(ours, reference, lambda weight: weight.grad):
        torch.testing.assert_close(gradient, value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("segments", [None, torch.tensor([[0] * 7 + [1] * 17])], ids=["one text", "two texts"])
@pytest.mark.parametrize(("rope", "q_rank"), [(4, None), (0, 10)])
def test_steps_on_latents_give_what_keys_and_values_give(rope, q_rank, segments):
    """In float64, where the two differ by rounding alone; and no key or value is made in a step of one token."""
    torch.manual_seed(0)
    ours = made(rope=rope, q_rank=q_rank).double()
    ours.kv_norm = nn.RMSNorm(20).double()
    ours.q_norm = nn.RMSNorm(10).double() if q_rank else nn.Identity()
    x, positions, state = torch.randn(1, 24, HIDDEN).double(), torch.arange(24).unsqueeze(0), None
    steps: list[int] = []
    ours.kv_b.register_forward_hook(lambda *_: steps.append(steps.pop() + 1))

    def attended(start: int, end: int) -> Tensor:
        steps.append(0)
        part = None if segments is None else segments[:, start:end]
        encoding = Rotary() if rope else NoPositions()
        return ours(
            x[:, start:end], Context(torch.zeros(1, end - start).long(), positions[:, start:end], part, encoding), state
        )

    with torch.no_grad():
        whole = attended(0, 24)
        state = ours.init_state(1, 24, x.device, x.dtype)
        parts = [attended(0, 9), attended(9, 10), attended(10, 12), *(attended(i, i + 1) for i in range(12, 24))]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-12, atol=1e-12)
    assert steps == [1, 1, 0, *[0] * 13]


def test_the_cache_holds_a_latent_and_a_rotated_key_a_token_and_nothing_else(shipped):
    """2 layers, 64 tokens: (kv_lora_rank 16 + qk_rope_head_dim 4) numbers of 4 bytes; causal keeps 2 · 32."""

    def bytes_kept(*more: str) -> int:
        state = stlm.compile(shipped("latent.yaml", *more), "cpu").model.init_state(1, 64)
        tensors = [value for layer in state.core for value in vars(layer).values() if isinstance(value, Tensor)]
        return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())

    assert bytes_kept() == 2 * 64 * (16 + 4) * 4
    assert bytes_kept("model.attn={attn_type: causal, num_kv_heads: 4}") == 2 * 64 * 2 * 32 * 4


def test_a_step_costs_what_its_latents_cost_not_what_keys_and_values_would(shipped):
    """At T = 64: each weight once, and for each of 4 heads scores and sums over T rows of (16 + 4)."""
    model = stlm.compile(shipped("latent.yaml"), "cpu").model.eval()
    ids = torch.zeros(1, 64, dtype=torch.long)
    state = model.init_state(1, 64)
    with torch.no_grad():
        model(ids[:, :63], state=state)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model.core.blocks[0].attn(
                torch.randn(1, 1, 32), Context(ids[:, :1], ids[:, :1] + 63, None, Rotary()), state.core[0]
            )
    weights = sum(p.numel() for p in model.core.blocks[0].attn.parameters() if p.dim() == 2)
    assert counter.get_total_flops() == 2 * weights + 4 * 64 * 4 * (16 + 4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "more",
    [(), ("model.attn.q_lora_rank=10",), ("model.attn.v_head_dim=20",), ("model.positional_encoding_type=none",)],
    ids=str,
)
def test_what_is_kept_is_foretold_and_no_table_of_scores_is_among_it(shipped, share_foretold, more, precision):
    """A table of 256 × 256 scores would be more than ten times the share that is allowed."""
    spec = shipped("latent.yaml", "model.context_window=256", *more)
    assert share_foretold(spec, precision) == pytest.approx(1, rel=0.01)


def test_operations_are_those_that_torch_counts_in_deepseek():
    """Theirs computes the half of its scores and sums too that a causal mask then hides."""
    ours = made(q_rank=10)
    reference, rotary = theirs(v2, ours, 10)
    x, positions = torch.randn(1, 32, HIDDEN), torch.arange(32).unsqueeze(0)
    with FlopCounterMode(display=False) as counter:
        reference(x, attention_mask=None, position_embeddings=rotary(x, positions))
    projections = 2 * 32 * sum(p.numel() for p in reference.parameters() if p.dim() == 2)
    assert cost.flops_per_token(ours, 32) * 32 == projections + (counter.get_total_flops() - projections) / 2


def test_its_spec_trains_and_a_run_that_stops_goes_on_bit_for_bit(learns_and_goes_on):
    learns_and_goes_on("latent.yaml")


@pytest.mark.parametrize(
    ("hidden_dim", "heads", "encoding", "widths"),
    [
        (5120, 128, "rope", {"qk_nope_head_dim": 40, "qk_rope_head_dim": 20, "kv_lora_rank": 160}),
        (32, 1, "rope", {"qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "kv_lora_rank": 32}),
        (32, 16, "rope", {"qk_nope_head_dim": 2, "qk_rope_head_dim": 2, "kv_lora_rank": 8}),
        (32, 4, "learned", {"qk_nope_head_dim": 8, "qk_rope_head_dim": 0, "kv_lora_rank": 32}),
    ],
)
def test_widths_follow_from_the_heads_in_the_proportions_of_the_paper(shipped, hidden_dim, heads, encoding, widths):
    attn = f"model.attn={{attn_type: latent, num_heads: {heads}}}"
    spec = shipped(
        "differential.yaml", attn, f"model.hidden_dim={hidden_dim}", f"model.positional_encoding_type={encoding}"
    )
    chosen = spec.model.core_model.attn
    assert {name: getattr(chosen, name) for name in widths} == widths
    assert chosen.v_head_dim == chosen.qk_nope_head_dim


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("model.attn.qk_rope_head_dim=0", "it must be even and greater than 0"),
        ("model.attn.qk_rope_head_dim=3", "it must be even and greater than 0"),
        ("model.attn.kv_lora_rank=65", "nothing would be compressed; it must be at most 64"),
        ("model.hidden_dim=34", "`hidden_dim` 34 cannot be split evenly among `num_heads` 4"),
    ],
)
def test_a_mistake_is_told_in_a_line(shipped, change, says):
    with pytest.raises(SpecError) as caught:
        shipped("latent.yaml", change)
    assert any(says in found.message for found in caught.value.diagnostics)
