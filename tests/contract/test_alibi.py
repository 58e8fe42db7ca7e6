"""An attention that knows distances by itself: a bias, a buffer, and a cache with more than keys and values."""

import math

import pytest
import torch

from stlm.nn import Context
from stlm.spec import SpecError
from tests.contract import checks

ALIBI = {"attn_type": "alibi", "num_heads": 4}


def test_slopes_are_those_of_the_paper():
    from stlm_acid.nn.alibi import slopes

    assert slopes(8) == [2.0**-i for i in range(1, 9)]
    assert slopes(16)[:3] == pytest.approx([2**-0.5, 2**-1, 2**-1.5])
    assert slopes(12) == [*slopes(8), *slopes(16)[0:8:2]]
    assert slopes(1) == [2.0**-8]


def test_scores_fall_with_distance(spec):
    model = checks.built(spec(attn=ALIBI))
    attn = model.core.blocks[0].attn
    x = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))
    positions = torch.arange(6).unsqueeze(0)
    q, k, v = attn.qkv(attn.norm(x)).view(2, 6, 3, 4, 4).permute(2, 0, 3, 1, 4)
    expected = torch.zeros(2, 6, 16)
    for h, slope in enumerate([1 / 4, 1 / 16, 1 / 64, 1 / 256]):
        for i in range(6):
            near = torch.tensor([-slope * (i - j) for j in range(i + 1)])
            scores = torch.einsum("bd,bjd->bj", q[:, h, i], k[:, h, : i + 1]) / math.sqrt(4) + near
            expected[:, i, h * 4 : h * 4 + 4] = torch.einsum("bj,bjd->bd", scores.softmax(-1), v[:, h, : i + 1])
    given = attn(x, Context(torch.zeros(2, 6, dtype=torch.long), positions))
    torch.testing.assert_close(given, attn.out_proj(expected))


def test_it_is_a_component_like_any_other(spec, tmp_path):
    chosen = spec(attn=ALIBI)
    block = 16 + 16 * 48 + 16 * 16 + 16 + 2 * 16 * 32
    checks.assert_counted_as_built(chosen, 300 * 16 + 2 * block + 16)
    model = checks.built(chosen)
    checks.assert_gradients_reach_every_parameter(model, checks.token_ids())
    checks.assert_causal(model)
    checks.assert_segments_keep_apart(model)
    checks.assert_going_on_is_starting_anew(model)
    checks.assert_generates(model)
    checks.assert_saves_and_loads(chosen, tmp_path)


def test_a_table_that_is_no_weight_is_filled_and_not_stored(spec):
    model = checks.built(spec(attn=ALIBI))
    assert model.core.blocks[1].attn.slopes.tolist() == [1 / 4, 1 / 16, 1 / 64, 1 / 256]
    assert not [name for name in model.state_dict() if "slopes" in name]


def test_distance_is_counted_in_positions_not_in_places(spec):
    model = checks.built(spec(attn=ALIBI))
    ids = checks.token_ids()
    places = torch.arange(16).unsqueeze(0)
    with torch.no_grad():
        assert torch.equal(model(ids, positions=places + 100), model(ids))
        assert not torch.allclose(model(ids, positions=places * 3), model(ids))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"attn": {**ALIBI, "num_heads": 3}}, "`hidden_dim` 16 cannot be split evenly among `num_heads` 3"),
        ({"attn": ALIBI, "model": {"positional_encoding_type": "rope"}}, "set `positional_encoding_type: none`"),
    ],
)
def test_its_rules_are_checked_with_the_spec(spec, options, says):
    with pytest.raises(SpecError) as error:
        spec(**options)
    assert [says in d.message for d in error.value.diagnostics] == [True]
