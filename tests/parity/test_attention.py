"""Every attention against one written out in loops, and who sees whom."""

import pytest
import torch
from torch import Tensor, nn

from stlm.nn import Context
from tests.parity.networks import SMALL, TOLERANCE, Batch, Compiled, batches, compare_by_hand, compiled, installed_names

every_attention = pytest.mark.parametrize("name", installed_names("attention"))


def _attention(name: str, *options: str, seed: int | None = 0) -> Compiled:
    return compiled(SMALL, f"model.attn.attn_type={name}", *(f"model.{option}" for option in options), seed=seed)


def _influence(model, batch: Batch) -> Tensor:
    """Return how much the logits at i depend on the embedding of token j: (batch, seq, seq), gradients' sizes."""
    embedded: list[Tensor] = []
    handle = model.embedder.token_embedding.register_forward_hook(lambda module, args, out: embedded.append(out))
    logits = model(batch.ids, positions=batch.positions, segments=batch.segments)
    handle.remove()
    rows = [
        torch.autograd.grad(logits[:, i].square().sum(), embedded[0], retain_graph=True)[0].abs().sum(-1)
        for i in range(batch.ids.shape[1])
    ]
    return torch.stack(rows, dim=1)


@every_attention
@pytest.mark.parametrize(
    "options",
    [
        ["attn.num_kv_heads=4"],
        ["attn.num_kv_heads=2", "attn.num_q_heads=6", "attn.bias=true"],
        ["attn.num_kv_heads=1", "attn.num_q_heads=3", "attn.head_dim=10", "positional_encoding_type=rope"],
        ["attn.num_kv_heads=1", "attn.qk_norm=layer_norm", "positional_encoding_type=rope", "rope_theta=30.0"],
        ["attn.num_kv_heads=2", "attn.num_q_heads=4", "attn.qk_norm=rms_norm", "attn.normalization=none"],
    ],
)
def test_an_attention_is_its_loops(agree, name, options):
    made = _attention(name, "num_layers=1", "context_window=10", *options)
    for batch in batches(40, 10, seed=len(options)):
        compare_by_hand(agree, made, batch)


@every_attention
def test_as_many_kv_heads_as_q_heads_are_plain_multi_head_attention(agree, name):
    said = _attention(name, "attn.num_kv_heads=4", "attn.num_q_heads=4", "attn.bias=true", "attn.normalization=none")
    left_out = _attention(name, "attn.num_kv_heads=4", "attn.bias=true", "attn.normalization=none")
    assert said.spec.digest == left_out.spec.digest
    attn, plain = said.model.core.blocks[0].attn, nn.MultiheadAttention(24, 4, batch_first=True)
    with torch.no_grad():
        plain.in_proj_weight.copy_(attn.qkv.weight)
        plain.in_proj_bias.copy_(attn.qkv.bias)
    plain.out_proj = attn.out_proj
    x = torch.randn(3, 9, 24, generator=torch.Generator().manual_seed(0))
    context = Context(torch.zeros(3, 9, dtype=torch.long), torch.arange(9).unsqueeze(0))
    hidden = torch.ones(9, 9, dtype=torch.bool).triu(1) if name == "causal" else None
    wanted, _ = plain(x, x, x, attn_mask=hidden, need_weights=False)
    agree(f"attention.{name}", "MultiheadAttention of torch.nn", [(attn(x, context), wanted)], tolerance=TOLERANCE)


@every_attention
def test_a_group_of_query_heads_is_as_if_each_had_a_copy_of_its_keys_and_values(agree, name):
    grouped = _attention(name, "num_layers=1", "attn.num_kv_heads=2", "attn.num_q_heads=6", "attn.bias=true")
    plain = _attention(name, "num_layers=1", "attn.num_kv_heads=6", "attn.bias=true", seed=None)
    weights = grouped.model.state_dict()
    for key in ("core.blocks.0.attn.qkv.weight", "core.blocks.0.attn.qkv.bias"):
        q, k, v = weights[key].unflatten(0, (-1, 4)).split((6, 2, 2))
        weights[key] = torch.cat((q, k.repeat_interleave(3, 0), v.repeat_interleave(3, 0))).flatten(0, 1)
    plain.model.load_state_dict(weights)
    ids = torch.randint(40, (2, 11), generator=torch.Generator().manual_seed(0))
    pairs = [(grouped.model(ids), plain.model(ids))]
    agree(f"attention.{name}", "itself with keys and values repeated", pairs, tolerance=TOLERANCE)


@every_attention
@pytest.mark.parametrize("positions", installed_names("positional_encoding"))
def test_a_position_sees_what_its_kind_lets_it_see_and_nothing_else(name, positions):
    """What a causal position must not see has a gradient of exactly 0."""
    model = _attention(
        name, "attn.num_kv_heads=2", "attn.num_q_heads=4", f"positional_encoding_type={positions}", seed=0
    ).model
    *_, behind, before = batches(40, 12, seed=0)
    for batch in (Batch(torch.arange(9).unsqueeze(0)), behind, before):
        seq = batch.ids.shape[1]
        seen = torch.ones(seq, seq, dtype=torch.bool)
        if name == "causal":
            seen = seen.tril()
        assert name in ("causal", "bidirectional"), "say here what a new kind of attention sees"
        if batch.segments is not None:
            seen = seen & (batch.segments.unsqueeze(2) == batch.segments.unsqueeze(1))
        assert torch.equal(_influence(model, batch) != 0, seen.expand(len(batch.ids), seq, seq))


@every_attention
def test_what_stands_in_the_padding_changes_nothing(name):
    model = _attention(name, "attn.num_kv_heads=2", "positional_encoding_type=rope").model
    for batch in list(batches(40, 20, seed=5))[-2:]:
        other = torch.where(batch.real, batch.ids, (batch.ids + 1) % 40)
        said = {"positions": batch.positions, "segments": batch.segments}
        assert torch.equal(batch.kept(model(batch.ids, **said)), batch.kept(model(other, **said)))


@every_attention
def test_a_padded_row_is_what_it_is_alone(agree, name):
    made = _attention(name, "attn.num_kv_heads=2", "positional_encoding_type=learned")
    for batch in list(batches(40, 20, seed=6))[-2:]:
        together = made.model(batch.ids, positions=batch.positions, segments=batch.segments)
        alone = [(made.model(ids[real].unsqueeze(0))[0]) for ids, real in zip(batch.ids, batch.real, strict=True)]
        pairs = [(batch.kept(together), torch.cat(alone))]
        agree(f"attention.{name}", "itself on each row without its padding", pairs, tolerance=TOLERANCE)
