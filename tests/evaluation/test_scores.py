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


def test_an_empty_choice_counts_as_one_character():
    """-1 is above -2, the log-likelihoods themselves: neither has more than one character or byte."""
    scores = scores_of([Item(0, "c", ("", "a"), gold) for gold in (0, 0, 1)], [FIRST] * 3)
    assert scores["acc"] == scores["acc_norm"] == scores["acc_bytes"] == pytest.approx(2 / 3)


def test_half_a_surrogate_in_a_choice_has_three_bytes():
    """A character, -3 is below -2.2 / 2; a byte, -3 / 3 is above it."""
    scores = scores_of([Item(0, "c", ("\ud83d", "ab"), 0)], [Answer([-3.0, -2.2])])
    assert (scores["acc"], scores["acc_norm"], scores["acc_bytes"]) == (0.0, 0.0, 1.0)


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
    expected = {
        "x": {"acc": 0.75, "acc_centered": 0.75, "num_samples": 4},
        "y": {"acc": 0.5, "acc_centered": 0.5, "num_samples": 2},
    }
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
    asked, cut = items([0, 0, 0]), Answer([-1.0, -2.0], cut=True)
    assert scores_of(asked, [cut, FIRST, FIRST])["truncated"] == 1
    assert scores_of(asked, [cut, FIRST, cut])["truncated"] == 2
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
    assert scores["acc_centered_at_chance"]


def test_centered_has_a_test_of_its_own_against_chance():
    items = [Item(row, "x", ("a", "b") if row % 2 else ("b", "a"), gold=0) for row in range(20)]
    answers = [Answer([-1.0, -4.0] if row % 2 else [-3.5, -2.0]) for row in range(20)]
    scores = scores_of(items, answers)
    assert (scores["acc"], scores["at_chance"]) == (0.5, True)
    assert (scores["acc_centered"], scores["acc_centered_at_chance"]) == (1.0, False)


def test_without_rows_of_the_same_choices_nothing_is_centered():
    alone = [Item(0, "x", ("a", "b"), gold=0), Item(1, "y", ("b", "a"), gold=0), Item(2, "z", ("a", "c"), gold=0)]
    assert "acc_centered" not in scores_of(alone, [Answer([-1.0, -2.0])] * 3)
    twice = [Item(row, "x", ("a", "a"), gold=0) for row in range(2)]
    assert "acc_centered" not in scores_of(twice, [Answer([-1.0, -2.0])] * 2)
    other_contexts = [Item(row, (f"x{row}", f"y{row}"), ("a", "a"), gold=0) for row in range(2)]
    assert "acc_centered" not in scores_of(other_contexts, [Answer([-1.0, -2.0])] * 2)
    letters = [Item(row, "x", ("A", "B"), gold=0) for row in range(2)]
    assert "acc_centered" in scores_of(letters, [Answer([-1.0, -2.0])] * 2)


def test_centered_choices_may_be_told_apart_by_their_contexts():
    """Worked by hand: behind `y` everything is likelier, and what is right behind `x` the more so behind it."""
    items = [Item(0, ("x", "y"), ("a", "a"), gold=0), Item(1, ("x", "y"), ("b", "b"), gold=1)]
    scores = scores_of(items, [Answer([-3.0, -2.0]), Answer([-6.0, -4.0])])
    assert (scores["acc"], scores["acc_centered"]) == (0.5, 1.0)


def test_a_centered_score_near_chance_by_its_own_error_is_at_chance():
    """Worked by hand: of 40 pairs that are right or wrong together, 25 are right, which is 62.5 %.

    Of 80 rows that were independent, 50 right ones would be told from chance, up to 49 would not. The error over sets
    is the root of 0.625 * 0.375 / 39, so that 1.96 of it, 15.2 %, reach down to chance; those of 27 pairs do not.
    """
    scores = scores_of(*pairs([True] * 25 + [False] * 15))
    assert scores["acc_centered"] == 0.625
    assert scores["acc_centered_stderr"] == pytest.approx(math.sqrt(0.625 * 0.375 / 39))
    assert scores["acc_centered_at_chance"]
    assert not scores_of(*pairs([True] * 27 + [False] * 13))["acc_centered_at_chance"]


def pairs(right, group=lambda number: ""):
    """Give rows two of which share their choices: both are right after centering, or both wrong, as is said of each."""
    asked = [Item(2 * n + g, "x", (f"a{n}", f"b{n}"), g, group=group(n)) for n in range(len(right)) for g in (0, 1)]
    own, other = Answer([-1.0, -2.0]), Answer([-2.0, -1.0])
    return asked, [answer for sure in right for answer in ((own, other) if sure else (other, own))]


def test_the_error_of_a_centered_score_is_over_sets():
    """Worked by hand: twenty rows in ten pairs that are right or wrong together say what ten rows would say.

    Half of them are right: the root of 0.5 * 0.5 / 9 is 1 / 6. Were the rows independent, it would be 0.115.
    """
    scores = scores_of(*pairs([True] * 5 + [False] * 5))
    assert scores["acc_centered"] == 0.5
    assert scores["acc_centered_stderr"] == pytest.approx(1 / 6)
    assert scores["stderr"] == pytest.approx(math.sqrt(0.25 / 19))


def test_sets_of_different_sizes_weigh_by_their_rows():
    """Worked by hand: two sets of three rows, one all right and one all wrong, and twelve pairs all right: 27 of 30.

    A right row is 0.1 above the mean, a wrong one 0.9 below. Sums of sets are 0.3, -2.7 and twelve times 0.2; their
    squares come to 7.86. The root of 14/13 of that, over 30, is 0.097.
    """
    asked, answers = pairs([True] * 12)
    three, wrong = (tuple(f"{name}{n}" for n in range(3)) for name in "cd")
    for choices, shift in ((three, 0), (wrong, 1)):
        for gold in range(3):
            best = (gold + shift) % 3
            asked.append(Item(len(asked), "x", choices, gold))
            answers.append(Answer([-1.0 if n == best else -2.0 for n in range(3)]))
    scores = scores_of(asked, answers)
    assert scores["acc_centered"] == pytest.approx(27 / 30)
    assert scores["acc_centered_stderr"] == pytest.approx(math.sqrt(7.86 * 14 / 13) / 30)


def test_the_error_over_sets_goes_with_the_mean_of_groups():
    """Worked by hand: of two groups, one has four pairs, half of them right, the other eight, half of them right.

    A row's share is 1/16 in the first and 1/32 in the second, times a half from the mean: sums of pairs are 1/16 and
    1/32, up or down, and 12/11 of their squares is 12/11 * (4/256 + 8/1024).
    """
    asked, answers = pairs([True, False] * 6, group=lambda n: "x" if n < 4 else "y")
    scores = scores_of(asked, answers, by_group=True)
    assert scores["acc_centered_stderr"] == pytest.approx(math.sqrt(12 / 11 * (4 / 256 + 8 / 1024)))


@pytest.mark.parametrize("count", [1, 2, 9])
def test_too_few_sets_have_no_error_of_their_own(count):
    asked, answers = pairs([True, *[False] * (count - 1)])
    share = 1 / count
    expected = math.sqrt(share * (1 - share) / (2 * count - 1))
    assert scores_of(asked, answers)["acc_centered_stderr"] == pytest.approx(expected)


def test_letters_are_one_set_of_independent_rows():
    asked = [Item(n, "x", ("A", "B"), gold=n % 2) for n in range(100)]
    answers = [Answer([-1.0, -2.0] if n % 2 == (n % 5 == 0) else [-2.0, -1.0]) for n in range(100)]
    scores = scores_of(asked, answers)
    share = scores["acc_centered"]
    assert 0 < share < 1
    assert scores["acc_centered_stderr"] == pytest.approx(math.sqrt(share * (1 - share) / 99))


def test_chance_by_group_is_the_mean_of_the_groups():
    asked = [Item(i, "c", ("a",) * n, 0, group=group) for i, (n, group) in enumerate([(2, "x")] * 3 + [(4, "y")])]
    answers = [Answer([0.0, *[-1.0] * (len(item.choices) - 1)]) for item in asked]
    assert scores_of(asked, answers, by_group=True)["chance"] == (1 / 2 + 1 / 4) / 2
    assert scores_of(asked, answers)["chance"] == (3 * 1 / 2 + 1 / 4) / 4


def test_the_form_that_asks_for_text_has_its_own_right_choice():
    """The letters stand in another order than the texts: the second letter is right, and so is the first text."""
    asked = [Item(i, "q", ("A", "B"), 1, text=Item(i, "q", ("one", "two"), 0)) for i in range(4)]
    scores = scores_of(asked, [Answer([-1.0, -2.0], [-1.0, -2.0])] * 3 + [Answer([-2.0, -1.0], [-2.0, -1.0])])
    assert (scores["acc"], scores["acc_text"]) == (0.25, 0.75)


def test_rows_of_which_some_have_no_text_have_no_score_by_it():
    asked = [Item(i, "q", ("A", "B"), 0, text=Item(i, "q", ("one", "two"), 0) if i == 1 else None) for i in range(3)]
    scores = scores_of(asked, [FIRST, Answer([-1.0, -2.0], [-1.0, -2.0]), FIRST])
    assert scores["acc"] == 1.0
    assert [name for name in scores if "text" in name] == []


@pytest.mark.parametrize(("letters_right", "text_right"), [(50, 100), (100, 50), (0, 50), (50, 0)])
def test_each_form_has_a_test_of_its_own_against_chance(letters_right, text_right):
    asked = [Item(i, "q", ("A", "B"), 0, text=Item(i, "q", ("one", "two"), 0)) for i in range(100)]
    right, wrong = [-1.0, -2.0], [-2.0, -1.0]
    answers = [Answer(right if i < letters_right else wrong, right if i < text_right else wrong) for i in range(100)]
    scores = scores_of(asked, answers)
    assert (scores["acc"], scores["at_chance"]) == (letters_right / 100, letters_right == 50)
    assert (scores["acc_text"], scores["acc_text_at_chance"]) == (text_right / 100, text_right == 50)
