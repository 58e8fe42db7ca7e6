"""Which rows of a benchmark are asked, and what becomes of rows that cannot be."""

import copy
from collections import Counter
from typing import Any

import pytest

from stlm.evaluation.read_benchmarks import read_items
from stlm.registry.manager import Registry
from stlm.spec.errors import WorkError
from tests.components.benchmark.conftest import Published
from tests.components.benchmark.hand_made import CASES
from tests.components.benchmark.serving import numbered

UNLABELED = {
    "winogrande": {"answer": ""},
    "hellaswag": {"label": ""},
    "arc_easy": {"answerKey": ""},
    "mmlu": {"answer": -1},
    "truthful_qa": {"mc1_targets": {"choices": ["a", "b"], "labels": [0, 0]}},
    "piqa": {"label": -1},
    "race_middle": {"answer": ""},
    "race_high": {"problems": "[{'question': 'q', 'answer': '', 'options': ['a', 'b']}]"},
    "boolq": {"label": -1},
    "openbook_qa_closed": {"answerKey": ""},
    "openbook_qa_open": {"answerKey": ""},
    "copa": {"label": -1},
    "commonsense_qa": {"answerKey": ""},
}


def failure(benchmark: Any) -> str:
    """Read all rows, which must fail with one line; who prints it names the benchmark."""
    with pytest.raises(WorkError) as failed:
        read_items(benchmark, 0)
    said = str(failed.value)
    assert "\n" not in said
    assert "benchmark" not in said
    return said


def test_the_same_rows_are_drawn_for_every_model(published: Published) -> None:
    piqa = published("piqa", list(numbered(CASES["piqa"].rows, 60)))
    items = piqa.items(20, 42)
    assert piqa.items(20, 42) == items != piqa.items(20, 43)
    assert [item.row for item in items] == sorted({item.row for item in items})
    assert all(item.pairs[0][0].endswith(f" {item.row}\nAnswer:") for item in items), "each has its row's own text"


def test_closed_and_open_book_are_asked_the_same_rows(published: Published) -> None:
    rows = {name: list(numbered(CASES[name].rows, 60)) for name in ("openbook_qa_closed", "openbook_qa_open")}
    assert len({tuple(item.row for item in published(name, rows[name]).items(20, 1)) for name in rows}) == 1


@pytest.mark.parametrize("num_samples", [0, 60, 61])
def test_none_or_more_than_there_are_means_all_rows(published: Published, num_samples: int) -> None:
    piqa = published("piqa", list(numbered(CASES["piqa"].rows, 60)))
    assert [item.row for item in piqa.items(num_samples, 42)] == list(range(60))


def test_of_every_paradigm_as_many_rows_are_drawn(published: Published) -> None:
    blimp = published("blimp", list(numbered(CASES["blimp"].rows, 20)))
    assert blimp.by_group
    items = blimp.items(1000, 42)
    assert set(Counter(item.group for item in items).values()) == {14, 15}
    assert len({item.group for item in items}) == 67
    assert len({item.row for item in items}) == 1000
    for item in items:
        assert item.pairs[0] == ("", f" {CASES['blimp'].rows[item.row % 2]['sentence_good']} {item.row % 20}")
    assert len({item.group for item in blimp.items(40, 42)}) == 40


def test_a_subject_of_mmlu_counts_by_its_size(published: Published) -> None:
    mmlu = published("mmlu", list(numbered(CASES["mmlu"].rows[:1] * 9 + CASES["mmlu"].rows[1:], 400)))
    assert not mmlu.by_group
    drawn = Counter(item.group for seed in range(20) for item in mmlu.items(100, seed))
    assert drawn["anatomy"] / drawn.total() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("name", UNLABELED)
def test_a_row_without_an_answer_is_told(published: Published, name: str) -> None:
    good, bad = CASES[name].rows
    said = failure(published(name, [good, {**bad, **UNLABELED[name]}]))
    assert said.startswith("row 1 cannot be asked: ")


def test_every_benchmark_of_the_hub_is_tried_without_an_answer_but_the_one_that_has_none() -> None:
    assert {*UNLABELED, "blimp"} == set(CASES)
    assert set(CASES) <= set(Registry().names("benchmark"))


def columns() -> list[tuple[str, str]]:
    """List every column that a benchmark reads."""
    found = {name: Registry().find("benchmark", name).cls for name in CASES}
    return [(name, column) for name, cls in found.items() for column in cls.columns]


@pytest.mark.parametrize(("name", "column"), columns())
def test_a_missing_column_is_told_beside_those_that_are_there(published: Published, name: str, column: str) -> None:
    rows = [{key: value for key, value in row.items() if key != column} for row in CASES[name].rows]
    said = failure(published(name, rows))
    assert f"no column `{column}`; the columns are: " in said
    assert CASES[name].hub_id in said


@pytest.mark.parametrize(("name", "column"), columns())
def test_a_column_of_another_type_is_told_with_its_row(published: Published, name: str, column: str) -> None:
    rows = [{**row, column: 0.5} for row in copy.deepcopy(CASES[name].rows)]
    said = failure(published(name, rows))
    assert f"{CASES[name].hub_id}/" in said
    assert f": row 1: `{column}` holds a number, not " in said


@pytest.mark.parametrize(
    ("name", "change", "wrong"),
    [
        ("arc_easy", {"choices": {"text": ["a"]}}, "`choices.label` holds null, not a list"),
        ("arc_easy", {"choices": {"text": ["a"], "label": [1]}}, "`choices.label[]` holds a number, not a string"),
        ("hellaswag", {"label": None}, "`label` holds null, not a string or a number"),
        ("winogrande", {"sentence": "no gap"}, "cannot be asked: there is no `_` in its sentence"),
        ("copa", {"question": "why"}, "cannot be asked: 'why'"),
        ("race_high", {"problems": "os.system('x')"}, "cannot be asked: "),
        ("race_high", {"problems": "["}, "its problems are no list that can be read"),
        ("race_high", {"problems": "[{'question': 'q', 'answer': 'A', 'options': ['a']}]"}, "it has a single choice"),
        ("race_high", {"problems": "[{'question': 'q'}]"}, "no list of questions with options and an answer"),
    ],
)
def test_what_is_wrong_with_a_row_is_told(published: Published, name: str, change: dict[str, Any], wrong: str) -> None:
    assert wrong in failure(published(name, [{**row, **change} for row in CASES[name].rows]))
