"""Scores of benchmarks, as evaluations of several kinds and ages tell them."""

from typing import Any

import pytest

from stlm.experiments.report.scores import Score, scores_by_benchmark


def told(**scores: Any) -> Any:
    found, absent = scores_by_benchmark([{"step": 5, "benchmarks": {"b": scores}}])
    assert not absent
    return found["b"][0]


def further(score: Score) -> dict[str, str]:
    return {measure.label: measured.verdict for measure, measured in score.further}


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ({"acc": 0.3, "stderr": 0.1, "chance": 0.25}, "not told from chance"),
        ({"acc": 0.5, "stderr": 0.1, "chance": 0.25}, "above chance"),
        ({"acc": 0.1, "stderr": 0.05, "chance": 0.25}, "below chance"),
        ({"acc": 0.5, "stderr": 0.1, "chance": 0.25, "at_chance": True}, "not told from chance"),
        ({"acc": 0.3, "stderr": 0.1, "chance": 0.25, "at_chance": False}, "above chance"),
        ({"acc": 0.0, "stderr": 0.0, "chance": 0.25}, ""),
        ({"acc": 0.3, "stderr": 0.1}, ""),
        ({"acc": 0.3}, ""),
    ],
)
def test_a_score_is_told_from_chance_where_it_can_be(scores: dict[str, Any], verdict: str) -> None:
    assert told(**scores).acc.verdict == verdict


def test_a_further_score_has_a_verdict_of_its_own() -> None:
    score = told(acc=0.25, stderr=0.1, chance=0.25, at_chance=True, acc_centered=0.5, acc_centered_stderr=0.1)
    assert further(score) == {"centered": "above chance"}
    assert score.acc.verdict == "not told from chance"
    both = {"acc": 0.5, "stderr": 0.1, "chance": 0.25, "acc_centered": 0.5, "acc_centered_stderr": 0.1}
    marked = told(**both, acc_centered_at_chance=True)
    assert (marked.acc.verdict, further(marked)) == ("above chance", {"centered": "not told from chance"})
    letters = told(acc=0.5, chance=0.25, acc_text=0.1, acc_text_stderr=0.01)
    assert further(letters) == {"by text": "below chance"}


def test_a_percent_has_its_interval_where_that_is_known() -> None:
    assert told(acc=0.312, stderr=0.0148).acc.percent == "31.2 ± 2.9 %"
    assert told(acc=0.312).acc.percent == "31.2 %"


def test_what_the_latest_evaluation_lacks_is_absent_with_its_reason() -> None:
    evaluations = [
        {"step": 1, "benchmarks": {"a": {"acc": 0.5}}, "absent": {"b": "no network"}},
        {"step": 2, "benchmarks": {"b": {"acc": 0.5}, "c": {"error": "no rows"}}, "absent": {"a": "the disk is full"}},
    ]
    scores, absent = scores_by_benchmark(evaluations)
    assert {name: [one.step for one in of] for name, of in scores.items()} == {"a": [1], "b": [2]}
    assert absent == {"a": "the disk is full", "c": "no rows"}


@pytest.mark.parametrize(
    "damaged", [None, 3, "x", [], {"b": None}, {"b": {"acc": "high"}}, {"b": {"acc": float("nan")}}]
)
def test_what_is_no_score_is_none(damaged: Any) -> None:
    assert scores_by_benchmark([{"step": 1, "benchmarks": damaged, "absent": damaged}])[0] == {}


def test_groups_and_remarks_are_kept() -> None:
    score = told(
        acc=0.5,
        by_group={"a": 0.25, "b": {"acc": 0.75, "acc_centered": 0.5}, "c": None},
        method="pseudo_log_likelihood",
        truncated=3,
    )
    assert score.by_group == {"a": {"acc": 0.25}, "b": {"acc": 0.75, "acc_centered": 0.5}}
    assert [measure.label for measure in score.measures_of_groups] == ["acc", "centered"]
    assert score.remarks == ("by pseudo log likelihood", "3 contexts cut on the left")
