"""Linear biases against the paper's slopes and transformers' Bloom."""

from typing import Any

import pytest
import torch
from stlm_attention.nn.alibi import AlibiAttention, slopes
from torch import nn

import stlm
from stlm.nn import Context
from stlm.spec import SpecError

bloom = pytest.importorskip("transformers.models.bloom.modeling_bloom", reason="needs transformers")


def made(num_heads: int, kv_heads: int | None = None) -> AlibiAttention:
    torch.manual_seed(0)
    attn = AlibiAttention(
        8 * num_heads,
        num_q_heads=num_heads,
        num_kv_heads=kv_heads or num_heads,
        head_dim=8,
        causal=True,
        norm=nn.Identity(),
        bias=True,
    )
    attn.reset_parameters()
    return attn


def context_of(seq: int, segments: Any = None) -> Context:
    return Context(torch.zeros(2, seq, dtype=torch.long), torch.arange(seq).unsqueeze(0), segments)


def test_slopes_are_those_of_the_paper():
    """Section 3: 1/2¹ … 1/2⁸ for 8 heads, and 1/2^0.5, 1/2¹ … 1/2⁸ for 16."""
    assert slopes(8) == [2.0**-i for i in range(1, 9)]
    assert slopes(16) == pytest.approx([2 ** (-i / 2) for i in range(1, 17)])


@pytest.mark.parametrize("num_heads", [1, 2, 3, 5, 6, 8, 12, 20, 112])
def test_slopes_are_those_of_bloom_for_any_number_of_heads(num_heads):
    """Its table is slope · place; at place 1 it is the slope."""
    table = bloom.build_alibi_tensor(torch.ones(1, 2, dtype=torch.long), num_heads, torch.float32)
    torch.testing.assert_close(torch.tensor(slopes(num_heads)), table[:, 0, 1], rtol=1e-6, atol=0)


@pytest.mark.parametrize("num_heads", [1, 3, 4])
@pytest.mark.parametrize("seq", [1, 9])
def test_outputs_and_gradients_are_those_of_bloom(num_heads, seq):
    config = bloom.BloomConfig(hidden_size=8 * num_heads, n_head=num_heads, attention_dropout=0.0, hidden_dropout=0.0)
    torch.manual_seed(0)
    attn, reference = made(num_heads), bloom.BloomAttention(config, 0)
    _connect(attn, reference, num_heads)
    x = torch.randn(2, seq, 8 * num_heads, requires_grad=True)
    table = bloom.build_alibi_tensor(torch.ones(2, seq, dtype=torch.long), num_heads, torch.float32)
    hidden = torch.full((seq, seq), torch.finfo(torch.float32).min).triu(1)
    expected = reference(x, torch.zeros_like(x), table, hidden)[0]
    given = attn(x, context_of(seq))
    torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-6)
    weigh = torch.randn_like(given)
    gradients = [torch.autograd.grad((y * weigh).sum(), x) for y in (given, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)


def _connect(attn: AlibiAttention, reference: Any, num_heads: int) -> None:
    """Bloom has q, k and v of a head side by side; here are all heads of q, then those of k, then those of v."""
    with torch.no_grad():
        for ours, fused in (
            (attn.qkv.weight, reference.query_key_value.weight),
            (attn.qkv.bias, reference.query_key_value.bias),
        ):
            nn.init.normal_(fused, std=0.3)
            ours.copy_(fused.unflatten(0, (num_heads, 3, 8)).transpose(0, 1).flatten(0, 2))
        attn.out_proj.load_state_dict(reference.dense.state_dict())


def test_documents_in_a_window_are_told_distances_of_their_own():
    attn, x = made(4, kv_heads=2), torch.randn(2, 12, 32)
    segments = (torch.arange(12) >= 5).long().expand(2, 12)
    positions = torch.cat((torch.arange(5), torch.arange(7))).unsqueeze(0)
    together = attn(x, Context(torch.zeros(2, 12, dtype=torch.long), positions, segments))
    alone = [attn(part, context_of(part.shape[1])) for part in (x[:, :5], x[:, 5:])]
    torch.testing.assert_close(together, torch.cat(alone, dim=1), rtol=1e-5, atol=1e-6)


def test_distance_is_counted_in_positions_not_in_places():
    attn, x = made(4), torch.randn(2, 9, 32)
    places, ids = torch.arange(9).unsqueeze(0), torch.zeros(2, 9, dtype=torch.long)
    usual, later, stretched = (attn(x, Context(ids, at)) for at in (places, places + 100, 3 * places))
    assert torch.equal(later, usual)
    assert not torch.allclose(stretched, usual)


def test_the_table_of_slopes_is_filled_and_not_stored(shipped):
    model = stlm.compile(shipped("alibi.yaml"), "cpu").model
    assert model.core.blocks[1].attn.slopes.tolist() == [1 / 4, 1 / 16, 1 / 64, 1 / 256]
    assert not [name for name in model.state_dict() if "slopes" in name]


def test_another_positional_encoding_is_refused_in_a_line(shipped):
    with pytest.raises(SpecError) as caught:
        shipped("alibi.yaml", "model.positional_encoding_type=rope")
    (found,) = caught.value.diagnostics
    assert found.message == (
        "`alibi` tells positions by its biases and goes with no other encoding, and "
        "`positional_encoding_type` is `rope`; set `positional_encoding_type: none`"
    )


def test_it_reads_texts_longer_than_those_it_was_trained_on(shipped):
    """It is bound to no number of positions: twice the window has finite scores, and the first half the same."""
    model = stlm.compile(shipped("alibi.yaml"), "cpu").model.eval()
    ids = torch.randint(512, (2, 128), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        longer, shorter = model(ids), model(ids[:, :64])
    assert longer.isfinite().all()
    torch.testing.assert_close(longer[:, :64], shorter, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("heads", ["num_kv_heads=4", "num_q_heads=8"])
def test_what_is_kept_is_foretold_with_one_table_for_all_layers(shipped, share_foretold, heads, precision):
    spec = shipped("alibi.yaml", "model.context_window=128", f"model.attn.{heads}")
    assert share_foretold(spec, precision) == pytest.approx(1, rel=0.01)


def test_where_documents_are_kept_apart_each_row_has_a_table_of_its_own(shipped):
    def activations(*overrides):
        return stlm.compile(shipped("alibi.yaml", *overrides), "meta").report.memory.activations

    table = 4 * 4 * 64**2
    assert activations("trainer.document_masking=true") - activations() == (8 - 1) * table


def test_its_spec_trains_and_a_run_that_stops_goes_on_bit_for_bit(learns_and_goes_on):
    learns_and_goes_on("alibi.yaml")
