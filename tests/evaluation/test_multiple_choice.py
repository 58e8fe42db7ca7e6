"""Multiple choice: what is scored, how it is batched, and who wins."""

import math

import pytest
import torch

from stlm.evaluation import multiple_choice
from stlm.evaluation.items import Item
from stlm.evaluation.multiple_choice import Request, encode_pair
from stlm.evaluation.subject import Subject


def log_likelihoods(model, requests, *, window=8):
    return multiple_choice.log_likelihoods(Subject(model, None, window, torch.device("cpu")), requests)


def score_items(model, tokenizer, items):
    return multiple_choice.score_items(Subject(model, tokenizer, 8, torch.device("cpu")), items)


class Merging:
    """Tokens are letters, but ``ab`` is one token, as of a byte-pair encoding that merges across a border."""

    vocab_size, eot_id = 5, 4

    def encode_batch(self, texts):
        return [
            [{"a": 0, "b": 1, "c": 2, "#": 3}[x] for x in text.replace("ab", "#").replace(" ", "")] for text in texts
        ]


def test_a_pair_is_divided_where_the_context_alone_ends(letters):
    assert encode_pair(letters, "ab", "ca") == Request([0, 1], [2, 0])


def test_white_at_the_end_of_the_context_belongs_to_the_continuation():
    class Plain:
        eot_id = 9

        def encode_batch(self, texts):
            return [[ord(x) for x in text] for text in texts]

    assert encode_pair(Plain(), "a \n", "b") == Request([97], [32, 10, 98])


def test_an_empty_context_is_an_end_of_text(letters):
    assert encode_pair(letters, "", "ab") == Request([4], [0, 1])
    assert encode_pair(letters, "  ", "ab") == Request([4], [0, 1])


def test_a_merge_across_the_border_leaves_the_continuation_a_token():
    assert encode_pair(Merging(), "a", "b") == Request([4], [3])
    assert encode_pair(Merging(), "ca", "b") == Request([2], [3])


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


def test_padding_is_told_only_where_there_is_some(random_bigram):
    log_likelihoods(random_bigram, [Request([0], [1]), Request([0], [2])])
    log_likelihoods(random_bigram, [Request([0], [1]), Request([0, 1], [2])])
    assert random_bigram.calls[0][1] is None
    assert random_bigram.calls[1][1].tolist() == [[0, 0], [0, -1]]


def test_acc_takes_the_likeliest_and_acc_norm_the_likeliest_a_character(bigram, letters):
    """After c: a has 0.4, b has 0.6 and leads to b with 0.5, so ``bb`` has 0.3, but 0.55 a letter."""
    model = bigram((0.2,) * 5, (0.25, 0.5, 0.25, 0, 0), (0.4, 0.6, 0, 0, 0), (0.2,) * 5, (0.2,) * 5)
    items = [Item(7, "c", ("a", "bb"), gold=1), Item(8, "c", ("a", "bb"), gold=0), Item(9, "c", ("bb", "a"), gold=0)]
    scores, log_likelihoods = score_items(model, letters, items)
    assert log_likelihoods[0] == pytest.approx([math.log(0.4), math.log(0.3)], rel=1e-5)
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
