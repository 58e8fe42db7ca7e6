"""Who sees whom, and whether going on token by token changes what is seen."""

import pytest
import torch
import torch.nn.functional as F

from stlm.nn import Context, RMSNorm, SelfAttention
from stlm.nn.attention import KeyValueCache, attend


def _influence(model, seq: int, **options) -> torch.Tensor:
    """Return whether the logits at row i depend on the embedding of token j, (seq, seq)."""
    seen = torch.zeros(seq, seq, dtype=torch.bool)
    embedded = model.embedder.token_embedding(torch.arange(seq).unsqueeze(0)).detach().requires_grad_()
    model.embedder.forward = lambda token_ids, context: context.encode_input(embedded)
    logits = model(torch.arange(seq).unsqueeze(0), **options)
    for i in range(seq):
        (gradient,) = torch.autograd.grad(logits[0, i].square().sum(), embedded, retain_graph=True)
        seen[i] = gradient[0].abs().sum(-1) > 0
    return seen


@pytest.mark.parametrize("positions", ["rope", "learned", "sincos", "none"])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_a_causal_position_gets_exactly_no_gradient_from_what_follows(network, positions, kv_heads):
    model = network(positions=positions, kv_heads=kv_heads)
    assert torch.equal(_influence(model, 9), torch.ones(9, 9, dtype=torch.bool).tril())


def test_a_bidirectional_position_sees_every_other(network):
    assert _influence(network(causal=False), 9).all()


@pytest.mark.parametrize("causal", [True, False])
def test_segments_do_not_see_each_other(network, causal):
    segments = torch.tensor([[0, 0, 0, 1, 1, 2, -1, -1]])
    expected = segments.transpose(0, 1) == segments
    seen = _influence(network(causal=causal, kv_heads=2), 8, segments=segments)
    assert torch.equal(seen, expected.tril() if causal else expected)


def test_query_heads_of_a_group_read_the_same_keys_and_values():
    """Against attention written out head by head."""
    torch.manual_seed(0)
    attn = SelfAttention(12, num_q_heads=6, num_kv_heads=2, head_dim=4, causal=True, norm=RMSNorm(12, eps=1e-5))
    x = torch.randn(2, 7, 12)
    q, k, v = attn.qkv(attn.norm(x)).split((24, 8, 8), dim=-1)
    heads = []
    for h in range(6):
        own, shared = slice(4 * h, 4 * h + 4), slice(4 * (h // 3), 4 * (h // 3) + 4)
        scores = q[..., own] @ k[..., shared].transpose(1, 2) / 2.0
        scores = scores.masked_fill(~torch.ones(7, 7, dtype=torch.bool).tril(), -torch.inf)
        heads.append(F.softmax(scores, dim=-1) @ v[..., shared])
    expected = attn.out_proj(torch.cat(heads, dim=-1))
    context = Context(torch.zeros(2, 7, dtype=torch.long), torch.arange(7).unsqueeze(0))
    torch.testing.assert_close(attn(x, context), expected, rtol=0, atol=1e-6)


def test_layers_that_look_both_ways_and_such_that_do_not_share_no_mask():
    segments = torch.tensor([[0, 0, 0, 1, 1]])
    q, k, v = torch.randn(3, 1, 2, 5, 4, generator=torch.Generator().manual_seed(0))

    def context() -> Context:
        return Context(torch.zeros(1, 5, dtype=torch.long), torch.arange(5).unsqueeze(0), segments)

    shared = context()
    for causal in (True, False, True):
        found, alone = (
            attend(q, k, v, causal=causal, segments=segments, context=where) for where in (shared, context())
        )
        assert torch.equal(found, alone)


@pytest.mark.parametrize("prefill", [1, 4, 9])
@pytest.mark.parametrize(
    "options", [{}, {"kv_heads": 2, "qk_norm": True}, {"positions": "learned"}, {"positions": "sincos"}]
)
def test_going_on_token_by_token_gives_the_logits_of_one_pass(network, options, prefill):
    model = network(**options)
    token_ids = torch.randint(50, (3, 12), generator=torch.Generator().manual_seed(1))
    state = model.init_state(3, 12)
    with torch.no_grad():
        parts = [model(token_ids[:, :prefill], state=state)]
        parts += [model(token_ids[:, i : i + 1], state=state) for i in range(prefill, 11)]
        parts.append(model(token_ids[:, 11:], state=state))
        torch.testing.assert_close(torch.cat(parts, dim=1), model(token_ids), rtol=0, atol=2e-5)


def test_several_tokens_at_once_may_follow_a_prefix(network):
    model = network(kv_heads=2)
    token_ids = torch.randint(50, (2, 12), generator=torch.Generator().manual_seed(1))
    state = model.init_state(2, 16)
    with torch.no_grad():
        parts = [model(part, state=state) for part in token_ids.split((5, 4, 3), dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), model(token_ids), rtol=0, atol=2e-5)


def test_prompts_of_unequal_length_go_on_side_by_side_behind_padding(network):
    model = network(kv_heads=2)
    generator = torch.Generator().manual_seed(1)
    short, long = torch.randint(50, (1, 3), generator=generator), torch.randint(50, (1, 7), generator=generator)
    padded = torch.cat((F.pad(short, (4, 0)), long))
    segments = torch.tensor([[-1] * 4 + [0] * 3, [0] * 7])
    positions = (segments == 0).cumsum(1) - 1
    positions = positions.clamp(min=0)
    following = torch.tensor([[11], [12]])
    state = model.init_state(2, 8)
    with torch.no_grad():
        model(padded, state=state, segments=segments, positions=positions)
        after = model(following, state=state, positions=torch.tensor([[3], [7]]))
        for row, prompt in enumerate((short, long)):
            alone = model(torch.cat((prompt, following[row : row + 1]), dim=1))[:, -1:]
            torch.testing.assert_close(after[row : row + 1], alone, rtol=0, atol=2e-5)


def test_a_full_cache_says_so(network):
    model = network()
    state = model.init_state(1, 4)
    with pytest.raises(ValueError, match="a cache of 4 tokens cannot take 5 more after 0"):
        model(torch.zeros(1, 5, dtype=torch.long), state=state)


@pytest.mark.parametrize("kept", [torch.float32, torch.bfloat16])
def test_a_cache_gives_keys_and_values_in_the_format_of_those_it_is_given(kept):
    cache = KeyValueCache(1, 2, 8, 4, torch.device("cpu"), kept)
    k, v = torch.randn(2, 1, 2, 3, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    cache.append(k, v, None)
    keys, values, _ = cache.append(k, v, None)
    assert keys.dtype == values.dtype == torch.bfloat16
    assert torch.equal(keys, torch.cat((k, k), dim=2))
    assert torch.equal(values, torch.cat((v, v), dim=2))


def test_a_model_under_autocast_goes_on_from_its_cache(network):
    model = network(kv_heads=2)
    ids = torch.randint(50, (2, 6), generator=torch.Generator().manual_seed(1))
    state = model.init_state(2, 8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        parts = [model(part, state=state) for part in ids.split(1, dim=1)]
        whole = model(ids)
    assert (torch.cat(parts, dim=1) - whole).abs().max() < 0.02 * whole.abs().max()


def test_a_bidirectional_model_has_no_state_for_generation(network):
    assert network(causal=False).init_state(1, 4) is None


def test_dropout_at_the_input_drops_positions_too(network):
    embedder = network(positions="learned", dropout=0.5).embedder.train()
    context = Context(torch.zeros(1, 8, dtype=torch.long), torch.arange(8).unsqueeze(0), positional_encoding=_Ones())
    torch.nn.init.zeros_(embedder.token_embedding.weight)
    embedded = embedder(context.token_ids, context)
    assert set(embedded.unique().tolist()) == {0.0, 2.0}


class _Ones(torch.nn.Module):
    def at_input(self, x, positions):
        return x + 1


@pytest.mark.parametrize("part", ["embedder", "core.blocks.0.attn", "core.blocks.1.ffn", "head"])
def test_dropout_acts_in_training_only_and_at_its_own_rate(network, part):
    model = network(dropout=0.25)
    token_ids = torch.arange(8).unsqueeze(0)
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.25}
    assert torch.equal(model(token_ids), model(token_ids))
    model.get_submodule(part).train()
    assert not torch.equal(model(token_ids), model(token_ids))
