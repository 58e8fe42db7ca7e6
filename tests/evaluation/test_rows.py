"""How requests become rows: what they have in common stands once, and each token sees its own text alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stlm.evaluation.batching import batches_of, padding_share, side_by_side
from stlm.evaluation.requests import Request
from stlm.evaluation.rows import MAX_BRANCHED_TOKENS, plan_hidden, plan_rows

CPU = torch.device("cpu")
TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=6)
REQUESTS = st.lists(st.builds(Request, TOKENS, st.lists(st.integers(0, 2), max_size=5)), min_size=1, max_size=12)


def texts_of(row):
    """What each place of a row sees, itself included, by the reach of places before it."""
    return [
        [row.token_ids[seen] for seen in range(place + 1) if place < row.reach[seen]]
        for place in range(len(row.token_ids))
    ]


@given(REQUESTS, st.booleans(), st.integers(2, 9))
def test_each_pair_is_asked_where_its_own_text_is_seen(requests, branches, window):
    plan = plan_rows(requests, window, branches=branches)
    pairs = [(row, place, token) for row in plan.rows for place, token in row.asked]
    for request, answer, cut in zip(requests, plan.answers, plan.cut, strict=True):
        whole = request.context + request.continuation
        text = whole[-(window + 1) :]
        count = min(len(request.continuation), len(text) - 1)
        assert cut == (len(whole) > window + 1)
        assert len(answer) == count
        for depth, number in enumerate(answer, start=len(text) - count):
            row, place, token = pairs[number]
            assert token == text[depth]
            assert texts_of(row)[place] == text[:depth]
            assert row.depths[place] == depth - 1
    assert all(branches or not row.branches for row in plan.rows)
    assert len({id(row) for row, *_ in pairs}) <= len(plan.rows)


@given(REQUESTS)
def test_a_row_without_branches_is_one_text(requests):
    for row in plan_rows(requests, 20, branches=True).rows:
        assert row.branches == any(depth != place for place, depth in enumerate(row.depths))


def test_texts_with_little_in_common_stand_in_rows_of_their_own():
    one, other = list(range(1, 200)), list(range(500, 700))
    plan = plan_rows([Request([0, *one], [1]), Request([0, *other], [1])], 512, branches=True)
    assert [len(row.token_ids) for row in plan.rows] == [200, 201]


def test_equal_contexts_of_different_rows_are_read_once():
    context = list(range(100))
    plan = plan_rows([Request(context, [7, 8, 9]), Request([5], [1]), Request(context, [8, 8, 8])], 512, branches=True)
    assert sorted(len(row.token_ids) for row in plan.rows) == [1, 100 + 2 + 2]


def test_a_hidden_token_is_not_in_what_the_model_is_given():
    plan = plan_hidden([Request([5, 6], [7, 8]), Request([5, 6], [7, 8])], 16)
    assert plan.answers == [[0, 1], [0, 1]]
    batch = side_by_side(plan.rows, CPU, mask_id=99)
    assert batch.token_ids.tolist() == [[5, 6, 99, 8], [5, 6, 7, 99]]
    assert batch.wanted.tolist() == [7, 8]
    assert batch.at.tolist() == [1, 4 + 2]


@pytest.mark.parametrize("lengths", [range(20, 140), [30] * 50 + [200], [5, 500, 5], range(8, 1008)])
def test_next_to_nothing_is_padding(lengths):
    generator = torch.Generator().manual_seed(0)
    asked = [Request(torch.randint(1000, (n,), generator=generator).tolist(), [1]) for n in lengths]
    of_rows = [len(row.token_ids) for row in plan_rows(asked, 2000, branches=True).rows]
    groups = batches_of(of_rows, 1024)
    assert sorted(index for group in groups for index in group) == list(range(len(of_rows)))
    assert padding_share(of_rows, groups) < 0.03
    for group in groups:
        assert len(group) == 1 or len(group) * max(of_rows[index] for index in group) <= 1024


def test_batches_are_few():
    rows = plan_rows([Request([n, *range(50)], [1]) for n in range(1000, 1400)], 512, branches=True).rows
    assert len(batches_of([len(row.token_ids) for row in rows], 1024)) == 20


def test_padding_is_told_where_a_model_would_see_it():
    rows = plan_hidden([Request([5, 6], [7]), Request([5], [7])], 16).rows
    assert side_by_side(rows, CPU, mask_id=99).segments.tolist() == [[0, 0, 0], [0, 0, -1]]
    assert side_by_side(rows[:1], CPU, mask_id=99).segments is None
    causal = plan_rows([Request([1, 2], [3]), Request([9], [3])], 16, branches=True).rows
    assert side_by_side(causal, CPU).segments is None


def test_what_just_fits_is_not_cut():
    for length in (15, 16, 17):
        request = Request(list(range(length - 2)), [7, 8])
        plan = plan_hidden([request], 16)
        assert plan.cut == [length > 16]
        assert [len(row.token_ids) for row in plan.rows] == [min(length, 16)] * 2
        assert plan_rows([request], 15, branches=True).cut == [length > 16]  # the last token is not read


def test_a_row_with_branches_is_no_longer_than_its_mask_may_be_wide():
    context, count = list(range(1000)), 20
    requests = [Request([*context, 5000 + n], [*range(n, n + 100)]) for n in range(count)]
    rows = plan_rows(requests, 4096, branches=True).rows
    assert 1 < len(rows) < count
    assert max(len(row.token_ids) for row in rows) <= MAX_BRANCHED_TOKENS
    assert min(len(row.token_ids) for row in rows[:-1]) > MAX_BRANCHED_TOKENS - 100
