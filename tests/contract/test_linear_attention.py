"""An attention that remembers sums: a state that is neither keys nor values, and does not grow."""

import pytest
import torch
import torch.nn.functional as F

from stlm.nn import Context
from stlm.nn.cost import flops_per_token
from tests.contract import checks

LINEAR = {"attn_type": "linear", "num_heads": 4, "chunk_size": 4}


def test_it_is_the_recurrence_of_the_paper(spec):
    attn = checks.built(spec(attn=LINEAR)).core.blocks[0].attn
    x = torch.randn(2, 11, 16, generator=torch.Generator().manual_seed(0))
    q, k, v = attn.qkv(attn.norm(x)).view(2, 11, 3, 4, 4).permute(2, 0, 3, 1, 4)
    q, k = F.elu(q) + 1, F.elu(k) + 1
    s, z, rows = torch.zeros(2, 4, 4, 4), torch.zeros(2, 4, 4), []
    for i in range(11):
        s = s + k[:, :, i].unsqueeze(3) * v[:, :, i].unsqueeze(2)
        z = z + k[:, :, i]
        rows.append(torch.einsum("bhd,bhde->bhe", q[:, :, i], s) / (q[:, :, i] * z).sum(-1, keepdim=True))
    y = torch.stack(rows, dim=1).reshape(2, 11, 16)
    given = attn(x, Context(torch.zeros(2, 11, dtype=torch.long), torch.arange(11).unsqueeze(0)))
    torch.testing.assert_close(given, attn.out_proj(y))


@pytest.mark.parametrize("positions", ["none", "rope", "learned", "sincos"])
@pytest.mark.parametrize("chunk_size", [1, 3, 64])
def test_it_is_a_component_like_any_other(spec, positions, chunk_size, tmp_path):
    chosen = spec(attn={**LINEAR, "chunk_size": chunk_size}, model={"positional_encoding_type": positions})
    checks.assert_counted_as_built(chosen)
    model = checks.built(chosen)
    checks.assert_gradients_reach_every_parameter(model, checks.token_ids())
    checks.assert_causal(model)
    checks.assert_segments_keep_apart(model)
    checks.assert_going_on_is_starting_anew(model)
    checks.assert_generates(model)
    checks.assert_saves_and_loads(chosen, tmp_path)


def test_segments_and_states_go_together(spec):
    model = checks.built(spec(attn=LINEAR))
    ids, segments = checks.token_ids(), (torch.arange(16) >= 6).long().expand(2, 16)
    with torch.no_grad():
        whole, state = model(ids, segments=segments), model.init_state(2, 16)
        parts = [
            model(part, state=state, segments=segment)
            for part, segment in zip(ids.split(5, dim=1), segments.split(5, dim=1), strict=True)
        ]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-4)


def test_its_state_and_its_cost_do_not_grow(spec):
    model = checks.built(spec(attn=LINEAR))
    with torch.no_grad():
        state = model.init_state(2, 16)
        model(checks.token_ids(), state=state)
    assert [(s.outer.shape, s.keys.shape) for s in state.core] == [((2, 4, 4, 4), (2, 4, 4))] * 2
    assert flops_per_token(model, 10_000) == flops_per_token(model, 4)
