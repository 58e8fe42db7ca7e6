"""The table of measures has each score that results have, and what stands by them."""

import pytest

from stlm.components.benchmark.measures import ACC, BESIDE, FURTHER, MEASURES
from stlm.evaluation.items import Item
from stlm.evaluation.scores import Answer, scores_of

ABOUT_ROWS = {"num_samples", "chance", "by_group", "truncated"}
"""Numbers that are no scores."""


@pytest.fixture(scope="module")
def scores() -> dict[str, object]:
    """All that a benchmark can have: rows that share their choices, letters for texts, groups, a cut context."""
    text = Item(0, "q", ("one", "two"), 0)
    rows = [Item(n, "q", ("A", "B"), n % 2, text=text, group="g") for n in range(4)]
    return scores_of(rows, [Answer([-1.0, -2.0], [-1.0, -2.0], cut=True)] * 4)


def test_every_number_of_a_score_is_in_the_table(scores: dict[str, object]) -> None:
    keys = [key for measure in MEASURES for key in (measure.name, measure.stderr, measure.at_chance) if key]
    assert sorted(scores) == sorted([*keys, *ABOUT_ROWS])


def test_every_score_of_a_group_is_in_the_table(scores: dict[str, object]) -> None:
    groups = scores["by_group"]
    assert isinstance(groups, dict)
    for shares in groups.values():
        assert set(shares) - ABOUT_ROWS <= {measure.name for measure in MEASURES}


def test_each_that_is_shown_is_told_apart(scores: dict[str, object]) -> None:
    shown = [measure for measure in MEASURES if measure.label]
    assert [ACC, *FURTHER, *BESIDE] != []
    assert {ACC, *FURTHER, *BESIDE} == set(shown)
    assert len({measure.label for measure in shown}) == len({measure.color for measure in shown} - {""}) == len(shown)
    assert all(measure.about for measure in FURTHER)
