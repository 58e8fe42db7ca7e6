"""From log-likelihoods to scores: who wins, how sure that is, and what guessing would give."""

import math
import random

import pytest

from stlm.evaluation.chance import is_at_chance
from stlm.evaluation.items import Item
from stlm.evaluation.scores import Answer, scores_of


def items(golds, groups=None, choices=("aa", "b")):
    return [Item(i, "c", choices, gold, group="" if groups is None else groups[i]) for i, gold in enumerate(golds)]


FIRST = Answer([-1.0, -2.0])


def test_acc_bytes_counts_the_bytes_of_a_choice():
    """-3 is above -3.5; a character, -1.5 is above -3; a byte, -1 is below -0.75."""
    scores = scores_of([Item(0, "c", ("abc", "éé"), 0), Item(0, "c", ("abc", "éé"), 1)], [Answer([-3.5, -3.0])] * 2)
    assert scores["acc"] == scores["acc_norm"] == scores["acc_bytes"] == 0.5
    (one,) = (scores_of([Item(0, "c", ("abc", "éé"), 1)], [Answer([-3.0, -2.2])]),)
    assert (one["acc"], one["acc_norm"], one["acc_bytes"]) == (1.0, 0.0, 1.0)


def test_a_score_by_the_text_of_choices_stands_beside_that_by_letters():
    text = Item(0, "q", ("one", "two"), 1)
    asked = [Item(i, "q", ("A", "B"), 1, text=text) for i in range(4)]
    answers = [Answer([-1.0, -2.0], [-3.0, -2.0])] * 3 + [Answer([-1.0, -2.0], [-1.0, -2.0])]
    scores = scores_of(asked, answers)
    assert (scores["acc"], scores["acc_text"]) == (0.0, 0.75)
    assert scores["acc_text_stderr"] == pytest.approx(math.sqrt(0.75 * 0.25 / 3))
    assert "acc_text" not in scores_of(items([0]), [FIRST])


def test_a_score_by_group_is_the_mean_of_the_groups():
    asked = items([0, 0, 0, 1, 1, 0], groups=["x"] * 4 + ["y"] * 2)
    plain, by_group = (scores_of(asked, [FIRST] * 6, by_group=flag) for flag in (False, True))
    assert plain["acc"] == pytest.approx(4 / 6)
    assert by_group["acc"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    expected = {"x": {"acc": 0.75, "num_samples": 4}, "y": {"acc": 0.5, "num_samples": 2}}
    assert plain["by_group"] == by_group["by_group"] == expected
    assert "by_group" not in scores_of(items([0, 1]), [FIRST] * 2)


def test_the_standard_error_of_a_mean_of_groups_is_made_of_theirs():
    """As lm-evaluation-harness 0.4.13 has it: `unweighted_mean_stderr`."""
    asked = items([0, 0, 0, 1, 1, 0], groups=["x"] * 4 + ["y"] * 2)
    stderrs = (math.sqrt(0.75 * 0.25 / 3), math.sqrt(0.5 * 0.5 / 1))
    expected = math.sqrt(sum(s**2 for s in stderrs)) / 2
    assert scores_of(asked, [FIRST] * 6, by_group=True)["stderr"] == pytest.approx(expected)


def test_groups_of_one_row_are_taken_for_one_sample():
    asked = items([0, 1, 1], groups=["x", "y", "z"])
    stderr = scores_of(asked, [FIRST] * 3, by_group=True)["stderr"]
    assert stderr == pytest.approx(math.sqrt((1 / 3) * (2 / 3) / 2))
    assert scores_of(asked[:1], [FIRST], by_group=True)["stderr"] == 0.0


def test_rows_whose_context_was_cut_are_counted():
    asked = items([0, 0, 0])
    assert scores_of(asked, [Answer([-1.0, -2.0], cut=True), FIRST, FIRST])["truncated"] == 1
    assert "truncated" not in scores_of(asked, [FIRST] * 3)


def test_chance_is_one_over_the_number_of_choices():
    asked = [Item(0, "c", ("a",) * n, 0) for n in (2, 4)]
    answers = [Answer([0.0, *[-1.0] * (n - 1)]) for n in (2, 4)]
    assert scores_of(asked, answers)["chance"] == 0.375


@pytest.mark.parametrize(("n", "chance", "low", "high"), [(100, 0.5, 40, 60), (100, 0.25, 17, 34), (20, 0.25, 2, 9)])
def test_a_score_within_the_exact_bounds_is_at_chance(n, chance, low, high):
    """The bounds are those of the exact binomial test with two sides of 2.5 % each (R: `qbinom`)."""
    told = [right for right in range(n + 1) if not is_at_chance(right, [chance] * n)]
    assert told == [*range(low), *range(high + 1, n + 1)]


def test_one_row_tells_nothing():
    assert is_at_chance(0, [0.25])
    assert is_at_chance(1, [0.25])
    assert is_at_chance(1, [1.0])


def test_guesses_among_different_numbers_of_choices_are_at_chance_as_often_as_is_said():
    """Of 2000 guessing models, at most 5 % are told from chance, and not many less."""
    draw = random.Random(0)
    chances = [1 / draw.randrange(2, 8) for _ in range(150)]
    guessed = [sum(draw.random() < chance for chance in chances) for _ in range(2000)]
    known = {right: is_at_chance(right, chances) for right in set(guessed)}
    assert 0.02 < sum(not known[right] for right in guessed) / 2000 <= 0.06


def test_many_rows_are_told_apart_finely():
    assert is_at_chance(33500 + 200, [0.5] * 67000)
    assert not is_at_chance(33500 + 300, [0.5] * 67000)


def test_centered_a_choice_that_is_likely_anywhere_gains_nothing():
    """Worked by hand: `a` is always the likeliest, and in the row where it is right it is likelier than elsewhere."""
    items = [Item(0, "x", ("a", "b"), gold=0), Item(1, "y", ("b", "a"), gold=0)]
    answers = [Answer([-1.0, -4.0]), Answer([-3.5, -2.0])]
    scores = scores_of(items, answers)
    assert (scores["acc"], scores["acc_centered"]) == (0.5, 1.0)
    assert scores["acc_centered_stderr"] == 0.0


def test_without_rows_of_the_same_choices_nothing_is_centered():
    alone = [Item(0, "x", ("a", "b"), gold=0), Item(1, "y", ("b", "a"), gold=0), Item(2, "z", ("a", "c"), gold=0)]
    assert "acc_centered" not in scores_of(alone, [Answer([-1.0, -2.0])] * 3)
    by_context = [Item(row, ("x", "y"), ("a", "a"), gold=0) for row in range(2)]
    assert "acc_centered" not in scores_of(by_context, [Answer([-1.0, -2.0])] * 2)
    letters = [Item(row, "x", ("A", "B"), gold=0) for row in range(2)]
    assert "acc_centered" in scores_of(letters, [Answer([-1.0, -2.0])] * 2)
