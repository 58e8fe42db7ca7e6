"""The shell hands on what its parts keep: an embedder that pools tokens, and a head, may have a state of their own."""

import pytest
import torch
from torch import nn

from stlm.nn import LMHead, ModelShell, TokenEmbedding


class _Pairs(TokenEmbedding):
    """Sees two tokens as one; a first one waits for its second."""

    positions_per_token = 0.5

    def forward(self, token_ids, context, state=None):
        x = super().forward(token_ids, context)
        context.memo["tokens"] = x
        if state is not None:
            x = torch.cat((state.pop(), x), dim=1) if state else x
            if x.shape[1] % 2:
                state.append(x[:, -1:])
        num = x.shape[1] // 2
        context.positions = context.positions[:, :1] // 2 + torch.arange(num)
        return x[:, : 2 * num].unflatten(1, (num, 2)).sum(dim=2)

    def init_state(self, batch, max_tokens, device, dtype):
        return []


class _OfPairs(LMHead):
    """Adds to each token's vector the sum of the pairs that are whole by then."""

    def token_states(self, hidden, context, state=None):
        tokens = context.memo["tokens"]
        sums, seen = (torch.zeros(len(tokens), 1, tokens.shape[2]), 0) if not state else (state["sums"], state["seen"])
        sums = torch.cat((sums, sums[:, -1:] + hidden.cumsum(dim=1)), dim=1)
        whole = (torch.arange(seen, seen + tokens.shape[1]) + 1) // 2 - seen // 2
        if state is not None:
            state.update(sums=sums[:, -1:], seen=seen + tokens.shape[1])
        return super().token_states(tokens + sums[:, whole], context)

    def init_state(self, batch, max_tokens, device, dtype):
        return {}


@pytest.fixture
def pooled(network):
    model = network()
    pairs, head = _Pairs(50, 32, tied=False), _OfPairs(32, 50, norm=nn.Identity())
    with torch.no_grad():
        for parameter in (pairs.token_embedding.weight, head.linear.weight):
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    return ModelShell(pairs, model.core, head, model.positional_encoding).eval()


@pytest.mark.parametrize("sizes", [[1] * 8, [8], [1, 2, 4, 1]])
def test_tokens_that_fill_no_position_wait_for_those_that_do(pooled, sizes):
    """Where a call fills none, the core is not asked; its cache has room for positions, not for tokens."""
    ids, runs = torch.arange(16).view(2, 8), []
    pooled.core.register_forward_pre_hook(lambda module, args: runs.append(args[0].shape[1]))
    with torch.no_grad():
        whole = pooled(ids)
        runs.clear()
        state = pooled.init_state(2, 8)
        parts = [pooled(part, state=state) for part in ids.split(sizes, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)
    assert (sum(runs), min(runs)) == (4, 4 if sizes == [8] else 1)
    assert [cache.keys.shape[2] for cache in state.core] == [4, 4]


def test_an_embedder_that_pools_and_keeps_nothing_cannot_go_on(pooled, monkeypatch):
    monkeypatch.delattr(_Pairs, "init_state")
    assert pooled.init_state(2, 8) is None


def test_a_head_that_cannot_go_on_says_none(pooled, monkeypatch):
    monkeypatch.setattr(_OfPairs, "init_state", lambda *_: None)
    assert pooled.init_state(2, 8) is None
