"""Scores, as evaluations of several kinds and ages tell them."""

from typing import Any

import pytest

from stlm.experiments.report.scores import scores_by_benchmark, texts


def told(**scores: Any) -> Any:
    found, absent = scores_by_benchmark([{"step": 5, "benchmarks": {"b": scores}}])
    assert not absent
    return found["b"][0]


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ({"acc": 0.3, "stderr": 0.1, "chance": 0.25}, "not told from chance"),
        ({"acc": 0.5, "stderr": 0.1, "chance": 0.25}, "above chance"),
        ({"acc": 0.1, "stderr": 0.05, "chance": 0.25}, "below chance"),
        ({"acc": 0.5, "stderr": 0.1, "chance": 0.25, "at_chance": True}, "not told from chance"),
        ({"acc": 0.3, "stderr": 0.1, "chance": 0.25, "at_chance": False}, "above chance"),
        ({"acc": 0.3, "stderr": 0.1}, ""),
        ({"acc": 0.3}, ""),
    ],
)
def test_a_score_is_told_from_chance_where_it_can_be(scores: dict[str, Any], verdict: str) -> None:
    assert told(**scores).verdict == verdict


def test_a_percent_has_its_interval_where_that_is_known() -> None:
    assert told(acc=0.312, stderr=0.0148).percent == "31.2 ± 2.9 %"
    assert told(acc=0.312).percent == "31.2 %"


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
        acc=0.5, by_group={"a": 0.25, "b": {"acc": 0.75}, "c": None}, method="pseudo_log_likelihood", truncated=3
    )
    assert score.by_group == {"a": 0.25, "b": 0.75}
    assert score.remarks == ("by pseudo log likelihood", "3 contexts cut on the left")


def test_texts_come_as_a_whole_then_by_topic_and_difficulty() -> None:
    modeling = {
        "passages": "shipped",
        "bits_per_byte": 2.0,
        "byte_accuracy": 0.5,
        "held_out": {"bits_per_byte": 1.5},
        "by_topic": {"hard_science": {"bits_per_byte": 3.0, "byte_accuracy": 0.25}, "broken": None},
        "by_difficulty": {"easy": 1.0},
    }
    assert [(t.kind, t.name, t.bits_per_byte, t.byte_accuracy) for t in texts(modeling)] == [
        ("", "all passages", 2.0, 0.5),
        ("", "held-out text", 1.5, None),
        ("topic", "hard science", 3.0, 0.25),
        ("difficulty", "easy", 1.0, None),
    ]
    assert [text.name for text in texts({"bits_per_byte": 2.0})] == ["held-out text"]
    assert texts(None) == texts({"by_topic": 3}) == []
