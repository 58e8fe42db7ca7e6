"""The worst rows: which they are, and what is shown of them."""

from typing import Any

import pytest

from stlm.evaluation.items import Item
from stlm.evaluation.multiple_choice import MOST_SHOWN, record_of
from stlm.evaluation.scores import Answer
from stlm.experiments.report.rows import Row, worst_rows


def row(benchmark: str, number: int, scores: list[Any], **more: Any) -> dict[str, Any]:
    return {"benchmark": benchmark, "row": number, "gold": 1, "log_likelihoods": scores, **more}


def only(record: dict[str, Any]) -> Row:
    """The one row of a record that was answered wrong."""
    ((worst,), _) = worst_rows([record])
    return worst.rows[0]


def test_rows_come_by_benchmark_and_by_how_far_a_wrong_choice_leads() -> None:
    records = [row("b", n, [-1.0, -1.0 - n]) for n in range(9)] + [row("a", 3, [-1.0, -5.0, -2.0])]
    worst, damaged = worst_rows(records, most=3)
    assert [(w.benchmark, r.index, r.margin) for w in worst for r in w.rows] == [
        ("a", "3", 4),
        ("b", "8", 8),
        ("b", "7", 7),
        ("b", "6", 6),
    ]
    assert damaged == 0


def test_what_was_answered_right_is_counted_and_not_listed() -> None:
    worst, _ = worst_rows([row("a", 1, [-2.0, -1.0]), row("b", 2, [-2.0, -1.0]), row("b", 3, [-1.0, -1.0])])
    assert [(w.benchmark, w.num_wrong, w.num_rows) for w in worst] == [("a", 0, 1), ("b", 1, 2)]
    assert [[r.index for r in w.rows] for w in worst] == [[], ["3"]], "of equals the first is taken, as `acc` does"


def test_the_right_choice_and_the_one_taken_are_told() -> None:
    found = only(row("a", 0, [-3.0, -2.0, -1.0], choices=["x", "y", "z"], context="c"))
    assert [(c.text, c.right, c.taken) for c in found.choices] == [
        ("x", False, False),
        ("y", True, False),
        ("z", False, True),
    ]
    assert found.context == "c"


def test_a_choice_with_a_context_of_its_own_is_shown_behind_it() -> None:
    found = only(row("a", 0, [-2.0, -3.0], choices=["won.", "won."], context=["He", "She"]))
    assert [choice.text for choice in found.choices] == ["He ▸ won.", "She ▸ won."]
    assert found.context == ""


def test_beside_a_letter_stands_the_text_that_it_is_for() -> None:
    found = only(row("a", 0, [-2.0, -3.0], choices=["A", "B"], choices_text=["a cat", "a dog"]))
    assert [choice.text for choice in found.choices] == ["A: a cat", "B: a dog"]


def test_rows_without_texts_are_told_by_numbers() -> None:
    found = only(row("a", 0, [-2.0, -3.0]))
    assert [choice.text for choice in found.choices] == ["choice 1", "choice 2"]


@pytest.mark.parametrize("length", [MOST_SHOWN, MOST_SHOWN + 1])
def test_a_context_is_shown_as_far_as_it_was_kept_and_what_is_missing_is_marked(length: int) -> None:
    context = "b" * (length - 3) + "end"
    found = only(record_of("a", Item(0, context, ("x", "y"), 1), Answer([-2.0, -3.0])))
    assert found.context == context[-MOST_SHOWN:]
    assert found.cut == (length > MOST_SHOWN)


def test_of_contexts_that_each_choice_has_those_are_marked_that_were_cut() -> None:
    contexts = ("b" * MOST_SHOWN, "b" * MOST_SHOWN + "c")
    found = only(record_of("a", Item(0, contexts, ("x", "x"), 1), Answer([-2.0, -3.0])))
    assert [choice.cut for choice in found.choices] == [False, True]
    assert found.choices[1].text == contexts[1][1:] + " ▸ x"
    assert not found.cut


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        {},
        row("a", 0, [-1.0]),
        row("a", 0, [-1.0, None]),
        row("a", 0, [-1.0, float("nan")]),
        {**row("a", 0, [-1.0, -2.0]), "gold": 2},
        {**row("a", 0, [-1.0, -2.0]), "gold": "1"},
    ],
)
def test_what_is_no_row_is_counted(record: Any) -> None:
    assert worst_rows([record]) == ((), 1)
