"""Which rows are drawn: the same for the same seed, fairly, and evenly where that is asked for."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stlm.evaluation.drawing import drawn_evenly, drawn_rows, drawn_sets

GROUPS = ["a"] * 50 + ["b"] * 30 + ["c"] * 3
SETS = [number // 4 for number in range(392)]
seeds = st.integers(min_value=0, max_value=2**64 - 1)
sets = st.lists(st.integers(min_value=0, max_value=12), min_size=20, max_size=60)
"""The set of each row: sets of any sizes, which need not lie together."""


@pytest.mark.parametrize("num_samples", [0, 83, 84])
def test_none_or_too_many_means_all(num_samples):
    assert drawn_rows(83, num_samples, 1) == drawn_evenly(GROUPS, num_samples, 1) == list(range(83))
    assert drawn_sets(GROUPS, num_samples, 1) == list(range(83))


def test_rows_are_drawn_once_each_in_order_and_by_the_seed():
    rows = drawn_rows(1000, 100, 7)
    assert rows == drawn_rows(1000, 100, 7) == sorted(set(rows))
    assert len(rows) == 100
    assert rows != drawn_rows(1000, 100, 8)


def test_these_rows_are_drawn_on_every_machine():
    assert drawn_rows(1000, 5, 42) == [43, 221, 554, 558, 751]
    assert drawn_evenly(GROUPS, 5, 42) == [0, 29, 64, 81, 82]
    assert drawn_sets(SETS, 9, 42) == [4, 5, 6, 7, 124, 125, 126, 127]


@pytest.mark.parametrize("draw", [lambda n: drawn_rows(83, n, 3), lambda n: drawn_evenly(GROUPS, n, 3)])
def test_fewer_rows_are_part_of_more(draw):
    assert set(draw(10)) < set(draw(11)) < set(draw(60))


def test_every_row_has_the_same_chance():
    drawn = Counter(row for seed in range(2000) for row in drawn_rows(20, 5, seed))
    assert set(drawn) == set(range(20))
    assert all(count / 2000 == pytest.approx(0.25, abs=0.05) for count in drawn.values())


def test_of_each_group_as_many_rows_are_drawn_and_a_small_one_leaves_its_share_to_the_others():
    def counts(num_samples):
        return Counter(GROUPS[row] for row in drawn_evenly(GROUPS, num_samples, 5))

    assert counts(9) == {"a": 3, "b": 3, "c": 3}
    assert counts(63) == {"a": 30, "b": 30, "c": 3}
    assert counts(73) == {"a": 40, "b": 30, "c": 3}
    assert sorted(counts(8).values()) == [2, 3, 3]


def test_which_groups_have_one_more_depends_on_the_seed():
    assert {GROUPS[drawn_evenly(GROUPS, 1, seed)[0]] for seed in range(30)} == {"a", "b", "c"}


@given(sets, st.integers(min_value=1, max_value=60), seeds)
def test_sets_are_drawn_whole_in_order_and_no_more_of_them_than_fit(sets, num_samples, seed):
    rows = drawn_sets(sets, num_samples, seed)
    drawn, sizes = {sets[row] for row in rows}, Counter(sets)
    assert rows == [row for row, own in enumerate(sets) if own in drawn]
    assert 0 < len(rows) <= num_samples or len(drawn) == 1
    assert len(rows) == len(sets) or len(rows) + max(sizes.values()) > num_samples


@given(sets, st.integers(min_value=1, max_value=60), st.integers(min_value=0, max_value=10), seeds)
def test_fewer_sets_are_part_of_more(sets, num_samples, more, seed):
    assert set(drawn_sets(sets, num_samples, seed)) <= set(drawn_sets(sets, num_samples + more, seed))


def test_which_sets_are_drawn_depends_on_the_seed_alone_and_not_on_their_names():
    drawn = [drawn_sets(SETS, 100, seed) for seed in (7, 7, 8)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 100
    assert drawn_sets([str(name) for name in SETS], 100, 7) == drawn[0]


def test_every_set_has_the_same_chance():
    drawn = Counter(row // 4 for seed in range(2000) for row in drawn_sets(SETS[:80], 20, seed)[::4])
    assert set(drawn) == set(range(20))
    assert all(count / 2000 == pytest.approx(0.25, abs=0.05) for count in drawn.values())
