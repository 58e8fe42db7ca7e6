"""All evaluations of a model together: which rows are asked, and what cannot be had."""

import attrs
import pytest
import torch

from stlm.data.reach import UnreachableError
from stlm.evaluation.items import Item
from stlm.evaluation.read_benchmarks import by_reason
from stlm.evaluation.subject import Subject
from stlm.evaluation.suite import evaluate_subject, read_items
from stlm.registry import component, make_component
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
    assert results["absent"] == {"far": "not there", "empty": "it has no rows"}
    assert results["rows_per_second"] > 0
    nothing = evaluate_subject(subject, None, [Letter("far", why="not there")], 0)
    assert nothing == {"absent": {"far": "not there"}}
    assert "absent" not in evaluate_subject(subject, None, [Letter()], 0)


@attrs.frozen
class Made:
    """A benchmark of items that a plugin has made in some way or other."""

    made: list
    selector: str = "made"

    def items(self, num_samples, seed):
        if isinstance(self.made, Exception):
            raise self.made
        return self.made


GOOD = Item(7, "a", ("b", "c"), gold=1)


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        (attrs.evolve(GOOD, gold=2), "row 7 cannot be asked: its answer is 2, and its 2 choices are 0 to 1"),
        (attrs.evolve(GOOD, gold=-1), "row 7 cannot be asked: its answer is -1, and its 2 choices are 0 to 1"),
        (attrs.evolve(GOOD, gold="b"), "row 7 cannot be asked: its answer is 'b', and its 2 choices are 0 to 1"),
        (attrs.evolve(GOOD, gold=True), "row 7 cannot be asked: its answer is True, and its 2 choices are 0 to 1"),
        (attrs.evolve(GOOD, choices=()), "row 7 cannot be asked: it has no choices"),
        (attrs.evolve(GOOD, choices="bc"), "row 7 cannot be asked: its choices must be a tuple of strings"),
        (attrs.evolve(GOOD, choices=("b", 3)), "row 7 cannot be asked: its choices must be a tuple of strings"),
        (attrs.evolve(GOOD, context=("a",)), "row 7 cannot be asked: it has 1 contexts for 2 choices"),
        (attrs.evolve(GOOD, context=3), "row 7 cannot be asked: its context must be a string, or a tuple of strings"),
        (attrs.evolve(GOOD, text="b"), "row 7 cannot be asked: its `text` is str, and must be an `Item`"),
        (
            attrs.evolve(GOOD, text=attrs.evolve(GOOD, choices=("b",))),
            "row 7 cannot be asked: its `text` has 1 choices, and itself 2",
        ),
        (
            attrs.evolve(GOOD, text=attrs.evolve(GOOD, gold=5)),
            "row 7 cannot be asked: of its `text`, its answer is 5, and its 2 choices are 0 to 1",
        ),
        ({"row": 7}, "row 1 cannot be asked: it is dict, and must be an `Item`"),
    ],
)
def test_an_item_that_is_not_as_it_must_be_is_told_by_its_row(subject, item, fault):
    with pytest.raises(WorkError) as told:
        read_items(Made([GOOD, item]), 0)
    assert str(told.value) == f"benchmark `made`: {fault}"
    results = evaluate_subject(subject, None, [Made([GOOD, item]), Letter()], 0)
    assert results["absent"] == {"made": fault}
    assert list(results["benchmarks"]) == ["letter"]


def test_whatever_a_plugin_raises_is_a_reason_and_the_others_are_scored(subject):
    results = evaluate_subject(subject, None, [Made(KeyError("answer\nkey")), Letter()], 0)
    assert results["absent"] == {"made": "it failed to give its rows: KeyError: 'answer\\nkey'"}
    assert list(results["benchmarks"]) == ["letter"]


def test_a_benchmark_that_fails_names_the_package_that_it_is_from(with_plugins, monkeypatch):
    @component("benchmark", "broken")
    class Broken:
        """Has no rows."""

        def items(self, num_samples, seed):
            raise ValueError("no rows today")

    registry = with_plugins({"stlm-toy": [Broken]})
    monkeypatch.setattr("stlm.evaluation.suite.installed", lambda: registry)
    with pytest.raises(WorkError, match=r"^benchmark `broken`: stlm-toy failed to give its rows: ValueError: no rows"):
        read_items(make_component("benchmark", "broken", registry=registry), 0)


def test_the_name_is_not_in_the_reason_and_a_hub_that_is_away_is_one_reason_for_all(subject):
    away = [UnreachableError(f"benchmark `{name}`: data set `x/{name}`", "no hub") for name in ("a", "b")]
    named = WorkError("benchmark `c`: it is gone")
    made = [Made(error, selector) for error, selector in zip((*away, named), "abc", strict=True)]
    found = evaluate_subject(subject, None, made, 0)
    assert found == {"absent": {"a": "no hub", "b": "no hub", "c": "it is gone"}}
    assert by_reason(found["absent"]) == {"no hub": ["a", "b"], "it is gone": ["c"]}


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
