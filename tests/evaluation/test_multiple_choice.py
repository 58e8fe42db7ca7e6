"""Multiple choice: what is scored, how it is batched, and who wins."""

import math

import pytest
import torch

from stlm.evaluation import likelihood, multiple_choice
from stlm.evaluation.items import Item
from stlm.evaluation.multiple_choice import record_of
from stlm.evaluation.requests import Request
from stlm.evaluation.scores import Answer
from stlm.evaluation.subject import Subject


def log_likelihoods(model, requests, *, window=8):
    return likelihood.log_likelihoods(Subject(model, None, window, torch.device("cpu")), requests)


def score_items(model, tokenizer, items):
    return multiple_choice.score_items(Subject(model, tokenizer, 8, torch.device("cpu")), items)


class Merging:
    """Tokens are letters, but ``ab`` is one token, as of a byte-pair encoding that merges across a border."""

    vocab_size, eot_id = 5, 4

    def encode_batch(self, texts):
        return [
            [{"a": 0, "b": 1, "c": 2, "#": 3}[x] for x in text.replace("ab", "#").replace(" ", "")] for text in texts
        ]


def test_the_log_likelihood_is_the_sum_over_the_continuation_alone(bigram):
    model = bigram((0.5, 0.25, 0.25, 0, 0), (0.125, 0.5, 0.375, 0, 0), (0.2,) * 5, (0.2,) * 5, (0.2,) * 5)
    (value,) = log_likelihoods(model, [Request([2, 2, 0], [1, 0])])
    assert value == pytest.approx(math.log(0.25 * 0.125), rel=1e-5)


def test_a_batch_of_unequal_lengths_scores_as_each_alone(tiny_spec):
    from stlm.compiler import compile

    model = compile(tiny_spec(), "cpu").model
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 300, (10, 14), generator=generator).tolist()
    requests = [Request(row[: 1 + i % 4], row[5 : 6 + i]) for i, row in enumerate(ids[:9])]
    together = log_likelihoods(model, requests, window=16)
    alone = [log_likelihoods(model, [request], window=16)[0] for request in requests]
    assert together == pytest.approx(alone, rel=1e-5)


def test_what_is_longer_than_the_window_loses_its_beginning(random_bigram):
    long = Request([0, 1, 2, 3] * 5, [1, 2])
    assert log_likelihoods(random_bigram, [long]) == pytest.approx(
        log_likelihoods(random_bigram, [Request([3], [1, 2])])
    )
    assert random_bigram.calls[0][0].shape == (1, 8)


def test_acc_takes_the_likeliest_and_acc_norm_the_likeliest_a_character(bigram, letters):
    """After c: a has 0.4, b has 0.6 and leads to b with 0.5, so ``bb`` has 0.3, but 0.55 a letter."""
    model = bigram((0.2,) * 5, (0.25, 0.5, 0.25, 0, 0), (0.4, 0.6, 0, 0, 0), (0.2,) * 5, (0.2,) * 5)
    items = [Item(7, "c", ("a", "bb"), gold=1), Item(8, "c", ("a", "bb"), gold=0), Item(9, "c", ("bb", "a"), gold=0)]
    scores, answers = score_items(model, letters, items)
    assert answers[0].log_likelihoods == pytest.approx([math.log(0.4), math.log(0.3)], rel=1e-5)
    assert (scores["acc"], scores["acc_norm"], scores["num_samples"]) == (1 / 3, 2 / 3, 3)
    assert scores["stderr"] == pytest.approx(math.sqrt((1 / 3) * (2 / 3) / 2))


def test_acc_norm_counts_characters_and_not_tokens(bigram):
    """``ab`` is one token, as ``c`` is, but has two characters: log(0.3) / 2 is above log(0.5)."""
    model = bigram((0.2,) * 5, (0.2,) * 5, (0.1, 0.1, 0.5, 0.3, 0), (0.2,) * 5, (0.2,) * 5)
    scores, _ = score_items(model, Merging(), [Item(0, "c", ("c", "ab"), gold=1)])
    assert (scores["acc"], scores["acc_norm"]) == (0.0, 1.0)


def test_acc_norm_counts_characters_and_not_bytes(bigram, letters):
    """``é`` is one character of two bytes: log(0.3) is below log(0.4), log(0.3) / 2 is above it."""
    model = bigram((0.2,) * 5, (0.2,) * 5, (0.4, 0.1, 0.1, 0.3, 0.1), (0.2,) * 5, (0.2,) * 5)
    scores, _ = score_items(model, letters, [Item(0, "c", ("a", "é"), gold=0)])
    assert scores["acc_norm"] == 1.0


def test_the_first_of_equals_wins(bigram, letters):
    model = bigram(*[(0.2,) * 5] * 5)
    for gold, right in ((0, 1.0), (1, 0.0)):
        scores, _ = score_items(model, letters, [Item(0, "c", ("a", "b"), gold=gold)])
        assert (scores["acc"], scores["acc_norm"]) == (right, right)


def test_a_benchmark_of_sentences_alone_asks_for_them_with_the_blank_before(bigram, letters):
    """Behind an end of text, which is what an empty context is, ``b`` is the likelier."""
    model = bigram(*[(0.2,) * 5] * 4, (0.1, 0.6, 0.1, 0.1, 0.1))
    scores, answers = score_items(model, letters, [Item(0, "", ("a", "b"), gold=1)])
    assert scores["acc"] == 1.0
    assert answers[0].log_likelihoods == pytest.approx([math.log(0.1), math.log(0.6)], rel=1e-5)


def test_each_choice_may_have_a_context_of_its_own(bigram, letters):
    model = bigram((0.1, 0.1, 0.8, 0, 0), (0.1, 0.1, 0.3, 0.5, 0), *[(0.2,) * 5] * 3)
    _, answers = score_items(model, letters, [Item(0, ("ca", "cb"), ("c", "c"), gold=0)])
    assert answers[0].log_likelihoods == pytest.approx([math.log(0.8), math.log(0.3)], rel=1e-5)


def test_the_text_of_choices_is_scored_beside_their_letters(bigram, letters):
    model = bigram((0.1, 0.1, 0.8, 0, 0), (0.1, 0.1, 0.3, 0.5, 0), *[(0.2,) * 5] * 3)
    text = Item(0, "b", ("b", "c"), gold=1)
    scores, answers = score_items(model, letters, [Item(0, "a", ("a", "c"), gold=0, text=text)] * 2)
    assert answers[1].log_likelihoods == pytest.approx([math.log(0.1), math.log(0.8)], rel=1e-5)
    assert answers[1].of_text == pytest.approx([math.log(0.1), math.log(0.3)], rel=1e-5)
    assert (scores["acc"], scores["acc_text"]) == (0.0, 1.0)


def test_a_context_that_was_cut_is_counted(bigram, letters):
    model = bigram(*[(0.2,) * 5] * 5)
    scores, _ = score_items(model, letters, [Item(0, "a" * 30, ("b", "c"), gold=0), Item(1, "a", ("b", "c"), gold=0)])
    assert scores["truncated"] == 1


def test_the_record_of_a_row_has_what_was_asked_and_answered():
    text = Item(3, "q", ("one", "two"), 1)
    item = Item(3, "x" * 700 + "end", ("A", "B"), 1, text=text)
    record = record_of("arc", item, Answer([-1.0, -2.0], [-3.0, -4.0]))
    assert record.pop("context") == "x" * 597 + "end"
    assert record == {
        "benchmark": "arc",
        "row": 3,
        "gold": 1,
        "log_likelihoods": [-1.0, -2.0],
        "log_likelihoods_text": [-3.0, -4.0],
        "choices_text": ["one", "two"],
        "choices": ["A", "B"],
        "context_cut": True,
    }
    both = record_of("w", Item(0, ("s one", "s two"), ("is", "is"), 0), Answer([-1.0, -2.0]))
    assert (both["context"], both["choices"]) == (["s one", "s two"], ["is", "is"])
    assert "log_likelihoods_text" not in both


def test_progress_is_told_to_the_end(bigram, letters):
    told = []
    subject = Subject(bigram(*[(0.2,) * 5] * 5), letters, 8, torch.device("cpu"))
    multiple_choice.score_items(subject, [Item(0, "a", ("b", "c"), gold=0)], told=told.append)
    assert told[-1] == 1.0
