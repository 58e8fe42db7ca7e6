"""The sets that are shipped, and their cards: what they promise, and that a spoilt set would be found out."""

import copy
import json
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from stlm.evaluation.passages import shipped as shipped_passages
from tests.components.benchmark import checks
from tests.components.benchmark.checks import CHECKS, Check, Shipped, choices_of, runs
from tests.components.benchmark.cues import SETS, question_of

PUBLIC = Path(__file__).parents[4] / "shared/data/benchmarks"
RUN = 8

FOUR = [
    {"id": "q-1", "question": "Who makes honey?", "choices": ["a bee", "a fish", "a bird", "a cow"], "gold": 0},
    {"id": "q-2", "question": "What swims?", "choices": ["a bird", "a fish", "a cow", "a bee"], "gold": 1},
    {"id": "q-3", "question": "What has feathers?", "choices": ["a fish", "a cow", "a bird", "a bee"], "gold": 2},
    {"id": "q-4", "question": "Who says moo to us?", "choices": ["a fish", "a bee", "a bird", "a cow"], "gold": 3},
]
TWINS = [
    {"id": "w-1a", "sentence": "The cat saw the dog, and the _ barked.", "option1": "cat", "option2": "dog"},
    {"id": "w-1b", "sentence": "The cat saw the dog, and the _ meowed.", "option1": "cat", "option2": "dog"},
]
ABOUT = {"topic": "animals", "difficulty": "easy"}
CARD = """# A set

4 questions in 1 sets of four.

{row}

animals 4, easy 4

| longest | shortest | most words | most overlap | least overlap | unigram, sum | unigram, mean | each place |
| --- | --- | --- | --- | --- | --- | --- | --- |
| 0.250 | 0.250 | 0.250 | 0.250 | 0.250 | 0.250 | 0.250 | 0.250 |
"""


def four() -> Shipped:
    """Four rows with one set of choices, and their card."""
    rows = [row | ABOUT for row in copy.deepcopy(FOUR)]
    return Shipped(rows, CARD.format(row=json.dumps(rows[0])))


def pair() -> Shipped:
    """Two sentences that differ in their last word."""
    rows = [row | {"answer": str(2 - n)} | ABOUT for n, row in enumerate(TWINS)]
    card = CARD.replace("0.250", "0.500").replace("4 questions in 1 sets of four", "2 sentences in 1 pairs")
    return Shipped(rows, card.replace("animals 4, easy 4", "animals | 2, easy 2").format(row=json.dumps(rows[0])))


def row(number: int, **changed: Any) -> Callable[[Shipped], Shipped]:
    """Change what is said of one row."""

    def spoil(good: Shipped) -> Shipped:
        rows = [one | (changed if n == number else {}) for n, one in enumerate(good.rows)]
        return Shipped(rows, good.card)

    return spoil


def card(old: str, new: str) -> Callable[[Shipped], Shipped]:
    """Change what the card says."""

    def spoil(good: Shipped) -> Shipped:
        assert old in good.card
        return Shipped(good.rows, good.card.replace(old, new, 1))

    return spoil


def order(*places: int) -> Callable[[Shipped], Shipped]:
    """Take the rows in another order, or some of them."""
    return lambda good: Shipped([good.rows[place] for place in places], good.card)


SPOILT: list[tuple[Check, Callable[[], Shipped], Callable[[Shipped], Shipped]]] = [
    (checks.form, four, row(2, gold="2")),
    (checks.form, four, row(2, topic=5)),
    (checks.form, four, lambda good: Shipped([dict(reversed(one.items())) for one in good.rows], good.card)),
    (checks.form, four, row(2, gold=4)),
    (checks.form, four, row(2, note="")),
    (checks.form, four, row(2, question="")),
    (checks.form, pair, row(1, option2="dog ")),
    (checks.form, pair, row(1, answer="3")),
    (checks.size, four, order(0, 1, 2)),
    (checks.ids, four, row(1, id="q-1")),
    (checks.plain_text, four, row(1, question="What isn\u2019t dry?")),
    (checks.plain_text, four, row(1, question="What  swims?")),
    (checks.distinct_choices, four, row(1, choices=["a bird", "a fish", "a cow", "A cow!"])),
    (checks.distinct_questions, four, row(1, question="Who makes honey")),
    (checks.distinct_questions, four, row(1, question="Who makes the honey?", choices=["a", "b", "c", "d"])),
    (checks.no_cues, four, row(1, choices=["a bird", "a very big fish", "a cow", "a bee"])),
    (checks.no_cues, four, row(1, question="What swims, a fish?")),
    (checks.no_cues, four, row(1, gold=2)),
    (checks.whole_groups, four, lambda good: Shipped([*good.rows[:2], *pair().rows, *good.rows[2:]], good.card)),
    (checks.whole_groups, four, order(2)),
    (checks.no_cues, four, row(1, question="What swims, a fish?", difficulty="medium")),
    (checks.difficulties, four, row(1, difficulty="medium")),
    (checks.difficulties, four, lambda good: Shipped([one | {"difficulty": "hard"} for one in good.rows], good.card)),
    (checks.full_groups, four, order(0, 1, 2)),
    (checks.full_groups, four, row(1, choices=["a fish", "a bird", "a cow", "a bee"])),
    (checks.full_groups, four, row(1, choices=["a fish", "a bird", "a cow", "a bee"], gold=0)),
    (checks.gap, pair, row(0, sentence="The cat saw the dog, and the dog barked.")),
    (checks.gap, pair, row(0, sentence="The cat saw the dog, and the _ saw the _.")),
    (checks.gap, pair, row(0, sentence="The cat saw the dog, and then the _.")),
    (checks.gap, pair, row(0, sentence="The cats saw the dog, and the _ barked.")),
    (checks.gap, pair, row(0, sentence="The cat saw the dog, and the _ barked at the cat.")),
    (checks.twins, pair, order(0)),
    (checks.twins, pair, order(1, 0)),
    (checks.twins, pair, row(1, answer="2")),
    (checks.twins, pair, row(1, option1="dog", option2="cat")),
    (checks.twins, pair, row(1, sentence="The cat heard the dog, and the _ meowed.")),
    (checks.twins, pair, row(1, sentence="The cat saw the dog, and the _ barked.")),
    (checks.twins, pair, row(1, sentence="The cat saw the dog, and the _ meowed all night.")),
    (checks.card_counts, four, card("4 questions", "14 questions")),
    (checks.card_counts, four, card("1 sets", "2 sets")),
    (checks.card_counts, pair, card("animals | 2", "animals | 3")),
    (checks.card_counts, four, card("easy 4", "easy 3")),
    (checks.card_cues, four, card("| 0.250 |", "| 0.251 |")),
    (checks.card_cues, four, card("| shortest |", "| least |")),
    (checks.card_cues, four, card("| longest |", "| the longest |")),
    (checks.card_cues, four, row(1, gold=2)),
    (checks.card_examples, four, card("honey", "money")),
    (checks.card_examples, pair, card("{", "- {")),
]


@pytest.mark.parametrize(("name", "check"), [(name, check) for name in SETS for check in CHECKS[name]])
def test_a_shipped_set_is_what_it_promises(name: str, check: Check) -> None:
    assert list(check(Shipped.read(name))) == []


def test_every_set_that_is_shipped_is_checked_and_has_a_card() -> None:
    folder = Path(str(resources.files("stlm.components.benchmark") / "shipped"))
    names = {path.stem for path in folder.glob("*.jsonl")}
    assert names == {path.stem for path in folder.glob("*.md")} == set(SETS) == set(CHECKS)


@pytest.mark.parametrize(("check", "good", "spoil"), SPOILT)
def test_a_spoilt_set_is_found_out(check: Check, good: Any, spoil: Any) -> None:
    assert check is checks.size or list(check(good())) == []
    assert list(check(spoil(good()))) != []


def test_each_check_is_seen_to_find_something() -> None:
    assert {check for check, _, _ in SPOILT} == {check for of_set in CHECKS.values() for check in of_set}


@pytest.fixture(scope="module")
def public_runs() -> set[tuple[str, ...]]:
    """Give every run of words in the public rows at hand."""
    if not PUBLIC.is_dir():
        pytest.skip(f"no rows of public benchmarks in {PUBLIC}")
    rows = (json.loads(line) for file in PUBLIC.glob("*.jsonl") for line in file.read_text("utf-8").splitlines())
    return {run for one in rows for text in strings(one) for run in runs(text, RUN)}


def strings(value: Any) -> Iterator[str]:
    """Give every text inside a row, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)


@pytest.mark.parametrize("name", SETS)
def test_no_row_shares_a_run_of_words_with_a_public_one(name: str, public_runs: set[tuple[str, ...]]) -> None:
    for one in Shipped.read(name).rows:
        texts = [one["sentence"]] if "sentence" in one else [f"{question_of(one).context} {c}" for c in choices_of(one)]
        assert not [run for text in texts for run in runs(text, RUN) & public_runs], one["id"]


def test_no_passage_shares_a_run_of_words_with_a_public_row_or_another_passage(public_runs: Any) -> None:
    seen = set(public_runs)
    for passage in shipped_passages().texts:
        if passage.topic != "code":
            found = runs(passage.text, RUN)
            assert not found & seen, passage.text[:40]
            seen |= found
