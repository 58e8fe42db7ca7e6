"""All evaluations of a model together: which rows are asked, and what cannot be had."""

import attrs
import pytest
import torch

from stlm.evaluation.items import Item
from stlm.evaluation.subject import Subject
from stlm.evaluation.suite import evaluate_subject
from stlm.spec import WorkError


@attrs.frozen
class Letter:
    """A benchmark that asks for one letter or another; notes how it was asked for rows."""

    selector: str = "letter"
    count: int = 3
    by_group: bool = False
    why: str | None = None
    asked: list = attrs.field(factory=list)

    def items(self, num_samples, seed):
        self.asked.append((num_samples, seed))
        if self.why is not None:
            raise WorkError(self.why)
        groups = ("x", "x", "y")
        return [Item(i, "a", ("b", "c"), gold=int(i == 0), group=groups[i]) for i in range(self.count)]


@pytest.fixture
def subject(random_bigram, letters):
    return Subject(random_bigram, letters, 8, torch.device("cpu"), seed=7)


def test_the_rows_are_drawn_by_a_seed_that_is_no_part_of_a_spec(subject):
    """So that two models, or a run with another `general.seed`, are asked the same."""
    benchmark = Letter()
    for seed in (7, 8):
        evaluate_subject(attrs.evolve(subject, seed=seed), None, [benchmark], 5)
    assert benchmark.asked == [(5, 0)] * 2


def test_what_cannot_be_had_is_absent_and_the_others_are_scored(subject):
    results = evaluate_subject(subject, None, [Letter("far", why="not there"), Letter(), Letter("empty", count=0)], 0)
    assert list(results["benchmarks"]) == ["letter"]
    assert results["absent"] == {"far": "not there", "empty": "benchmark `empty` has no rows"}
    assert results["rows_per_second"] > 0
    nothing = evaluate_subject(subject, None, [Letter("far", why="not there")], 0)
    assert nothing == {"absent": {"far": "not there"}}
    assert "absent" not in evaluate_subject(subject, None, [Letter()], 0)


def test_a_benchmark_says_whether_its_score_is_that_of_its_groups(subject):
    plain, by_group = (
        evaluate_subject(subject, None, [Letter(by_group=flag)], 0)["benchmarks"]["letter"] for flag in (False, True)
    )
    assert plain["by_group"] == by_group["by_group"]
    assert by_group["acc"] == sum(group["acc"] for group in by_group["by_group"].values()) / 2
    assert plain["acc"] != by_group["acc"]


def test_a_record_is_given_for_each_row_and_progress_is_told(subject):
    records, told = [], []
    evaluate_subject(subject, None, [Letter()], 0, records.append, progress=lambda *said: told.append(said))
    assert [(record["benchmark"], record["row"]) for record in records] == [("letter", row) for row in range(3)]
    assert told[-1] == ("letter", 3, 3)
