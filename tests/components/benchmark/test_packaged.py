"""Which rows of the shipped sets are asked: those that belong together come together, or not at all."""

import importlib
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stlm.evaluation.scores import Answer, scores_of
from stlm.registry import make_component
from stlm.spec import WorkError
from tests.components.benchmark.checks import groups
from tests.components.benchmark.cues import SETS, rows_of

SIZES = {name: set(map(len, groups(rows_of(name)))) for name in SETS}
numbers = st.integers(min_value=1, max_value=300)
seeds = st.integers(min_value=0, max_value=2**32)


def drawn(name: str, num_samples: int, seed: int) -> list[int]:
    """Draw rows of a shipped set."""
    return [item.row for item in make_component("benchmark", name).items(num_samples, seed)]


def scores(name: str, num_samples: int, seed: int) -> dict[str, Any]:
    """Score a model that guesses."""
    items, guess = make_component("benchmark", name).items(num_samples, seed), random.Random(0)
    return scores_of(items, [Answer([guess.gauss(0, 1) for _ in item.choices]) for item in items])


@pytest.mark.parametrize("name", SETS)
@settings(max_examples=25, deadline=None)
@given(num_samples=numbers, seed=seeds)
def test_rows_that_belong_together_are_drawn_together(name: str, num_samples: int, seed: int) -> None:
    rows, all_rows = drawn(name, num_samples, seed), rows_of(name)
    chosen = [all_rows[row]["id"] for row in rows]
    sizes = [len(own) for own in groups(all_rows) if {row["id"] for row in own} & set(chosen)]
    assert rows == sorted(set(rows))
    assert sum(sizes) == len(rows)
    assert len(rows) <= num_samples or len(sizes) == 1
    assert len(rows) > min(num_samples, len(all_rows)) - max(SIZES[name])


@pytest.mark.parametrize("name", SETS)
@settings(max_examples=15, deadline=None)
@given(num_samples=numbers, more=st.integers(min_value=0, max_value=40), seed=seeds)
def test_a_smaller_draw_is_part_of_a_larger_one(name: str, num_samples: int, more: int, seed: int) -> None:
    assert set(drawn(name, num_samples, seed)) <= set(drawn(name, num_samples + more, seed))


@pytest.mark.parametrize("name", SETS)
def test_0_and_more_than_there_are_mean_all_rows(name: str) -> None:
    count = len(rows_of(name))
    assert drawn(name, 0, 42) == drawn(name, count, 42) == drawn(name, count + 1, 42) == list(range(count))


@pytest.mark.parametrize("name", SETS)
@settings(max_examples=15, deadline=None)
@given(num_samples=numbers, seed=seeds)
def test_a_draw_has_a_centered_score(name: str, num_samples: int, seed: int) -> None:
    assert "acc_centered" in scores(name, num_samples, seed)


@pytest.mark.parametrize("name", SETS)
def test_easy_rows_have_scores_of_their_own(name: str) -> None:
    told = scores(name, 0, 42)
    by_difficulty = Counter(row["difficulty"] for row in rows_of(name))
    assert {group: own["num_samples"] for group, own in told["by_group"].items()} == by_difficulty
    weighed = sum(own["acc_centered"] * own["num_samples"] for own in told["by_group"].values())
    assert weighed / told["num_samples"] == pytest.approx(told["acc_centered"])


@pytest.mark.parametrize("name", SETS)
def test_sets_are_as_large_as_the_docs_say(name: str) -> None:
    assert SIZES[name] == {"stlm_eval_winogrande": {2}, "stlm_eval_truthful_qa": {2, 3, 4}}.get(name, {4})


ZOO = """
from stlm.components.benchmark.packaged import PackagedQuestions
from stlm.registry import component

@component("benchmark", "zoo")
class Zoo(PackagedQuestions):
    \"\"\"Who says what.\"\"\"

    group_column = None

    def question(self, row):
        return f"Who says {row['word']}?", row["choices"], row["gold"]
"""


def zoo(folder: Path, rows: list[dict[str, Any]]) -> Any:
    """Write a package that ships the rows of a benchmark, and give the benchmark by another name of it."""
    package = folder / "zoo_questions"
    (package / "shipped").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "of_animals.py").write_text(ZOO)
    (package / "shipped" / "zoo.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return importlib.import_module("zoo_questions.of_animals").Zoo(selector="zoo@zoo-questions")


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which a package can be imported, and is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("zoo_questions")]:
        del sys.modules[name]


def test_a_package_ships_rows_of_its_own_beside_its_module(importable: Path) -> None:
    rows = [
        {"word": "moo", "choices": ["cow", "cat"], "gold": 0},
        {"word": "meow", "choices": ["cat", "cow"], "gold": 0},
    ]
    rows.append({"word": "woof", "choices": ["dog", "owl"], "gold": 0})
    benchmark = zoo(importable, rows)
    items = benchmark.items(0, 0)
    assert [(item.context, item.choices) for item in items][2] == ("Who says woof?", ("dog", "owl"))
    sets = {tuple(item.row for item in benchmark.items(2, seed)) for seed in range(9)}
    assert sets == {(0, 1), (2,)}, "rows that share their choices are a set, another is one by itself"
    assert benchmark.needs_no_network


def test_a_row_that_is_amiss_is_told_by_its_number_though_sets_are_drawn(importable: Path) -> None:
    benchmark = zoo(importable, [{"word": "moo", "choices": ["cow", "cat"], "gold": 0}, {"word": "woof"}])
    with pytest.raises(WorkError, match=r"^row 1 cannot be asked: 'choices'$"):
        benchmark.items(1, 0)
