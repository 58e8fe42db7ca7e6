"""The held-out loss, and bits per byte, against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch

from stlm.data.serving.batch import IGNORE, Batch
from stlm.data.tokenizers.token_bytes import TokenBytes
from stlm.evaluation.held_out import HeldOut, measure_held_out
from stlm.evaluation.subject import EvaluationInterruptedError, Subject
from stlm.evaluation.unigram import Unigram
from stlm.spec import WorkError
from stlm.training.losses import NextTokenCrossEntropy

# a, b, é, end: after the end comes a (1/2), after a comes b (1/4), after b comes é (1/8), after é the end (1/16).
ROWS = (
    (0.50, 0.25, 0.10, 0.10, 0.05),  # after a: b has 1/4, and a is the likeliest
    (0.125, 0.125, 0.125, 0.125, 0.5),  # after b: é has 1/8
    (0.2, 0.2, 0.2, 0.2, 0.2),
    (0.3125, 0.3125, 0.15625, 0.15625, 0.0625),  # after é: the end has 1/16
    (0.50, 0.20, 0.10, 0.10, 0.10),  # after the end: a has 1/2 and is the likeliest
)
TEXT = [0, 1, 3, 4]


def measure(model, tokens, tokenizer, *, window=3, loss=None, interrupted=lambda: False, **changed):
    subject = Subject(model, tokenizer, window, torch.device("cpu"), seed=1, interrupted=interrupted)
    options = {"batch_size": 1, "max_batches": 100, **changed}
    return measure_held_out(subject, HeldOut(tokens, loss or NextTokenCrossEntropy(), **options))


def loss_of(model, tokens, tokenizer, **changed):
    return measure(model, tokens, tokenizer, with_text=False, **changed)["dataset_loss"]


def test_the_loss_is_the_mean_over_tokens_also_of_a_last_window_that_is_not_full(bigram, letters, token_file):
    numbers = loss_of(bigram(*ROWS), token_file(TEXT), letters)  # windows of 3 and of 1 tokens
    bits = 1 + 2 + 3 + 4
    assert numbers["loss"] == pytest.approx(bits * math.log(2) / 4, rel=1e-5)
    assert numbers["perplexity"] == pytest.approx(2 ** (bits / 4), rel=1e-5)
    assert numbers["bits_per_byte"] == pytest.approx(bits / 4, rel=1e-5)  # a, b and the two bytes of é


def test_text_modeling_counts_bytes_and_leaves_the_ends_of_texts_out(bigram, letters, token_file):
    numbers = measure(bigram(*ROWS), token_file(TEXT), letters)["text_modeling"]
    assert numbers["bits_per_byte"] == pytest.approx((1 + 2 + 3) / 4, rel=1e-5)
    assert numbers["byte_accuracy"] == 1 / 4  # of a, b, é only a was the likeliest


def test_bits_are_those_of_a_byte_and_not_of_a_token(bigram, letters, token_file):
    numbers = measure(bigram(*[(0.2,) * 5] * 5), token_file([3, 3, 4]), letters)  # é, é, end: 4 bytes in 3 tokens
    assert numbers["dataset_loss"]["bits_per_byte"] == pytest.approx(3 * math.log2(5) / 4, rel=1e-5)
    assert numbers["text_modeling"]["bits_per_byte"] == pytest.approx(2 * math.log2(5) / 4, rel=1e-5)


def test_every_token_is_scored_once_whatever_the_window(random_bigram, letters, token_file):
    tokens = token_file([0, 1, 3, 4, 2, 2, 0, 4, 1, 3, 0, 1, 4])
    ways = [{"window": w, "batch_size": b} for w, b in ((1, 1), (3, 2), (5, 1), (64, 8))]
    values = [measure(random_bigram, tokens, letters, **way)["text_modeling"]["bits_per_byte"] for way in ways]
    assert values == pytest.approx([values[0]] * 4, rel=1e-5)


def test_at_most_the_batches_that_were_asked_for_and_always_the_same(random_bigram, letters, token_file):
    tokens = token_file([0, 1, 3, 4] * 5)
    first = loss_of(random_bigram, tokens, letters, max_batches=2)
    assert loss_of(random_bigram, tokens, letters, max_batches=2) == first
    assert len(random_bigram.calls) == 4
    assert first != loss_of(random_bigram, tokens, letters, max_batches=3)


def test_without_data_or_without_batches_there_are_no_numbers(random_bigram, letters, token_file):
    assert measure(random_bigram, token_file([]), letters) == {}
    assert measure(random_bigram, token_file(TEXT), letters, max_batches=0) == {}


class DropsFirstSpace:
    """Puts a blank before every text, which it drops again; id 4 ends a text."""

    vocab_size, eot_id, mask_id = 5, 4, 4

    def decode_bytes(self, ids):
        return "".join((" a", "b", " c", "é", "<end>")[i] for i in ids).removeprefix(" ").encode()


def test_a_token_has_the_bytes_that_it_has_inside_a_text_or_at_its_head():
    ids, before = np.array([0, 3, 4, 0, 1]), np.array([0, 0, 3, 4, 0])
    assert TokenBytes(DropsFirstSpace())(ids).tolist() == [2, 2, 0, 2, 1]
    assert TokenBytes(DropsFirstSpace())(ids, before).tolist() == [2, 2, 0, 1, 1]


def test_the_blank_before_a_text_is_no_byte_of_it(bigram, token_file):
    class LastOnly(NextTokenCrossEntropy):
        """Asks for the last token of a window alone, and lets the model see ends of texts only."""

        def prepare(self, batch, generator, tokenizer):
            targets = torch.full_like(batch.targets, IGNORE)
            targets[:, -1] = batch.targets[:, -1]
            return Batch(torch.full_like(batch.token_ids, 4), targets)

    uniform, tokens = bigram(*[(0.2,) * 5] * 5), token_file([0, 1, 4, 0, 2, 4])  # "ab" and "a c"
    numbers = measure(uniform, tokens, DropsFirstSpace())
    assert numbers["dataset_loss"]["bits_per_byte"] == pytest.approx(6 * math.log2(5) / 5, rel=1e-5)
    assert numbers["text_modeling"]["bits_per_byte"] == pytest.approx(4 * math.log2(5) / 5, rel=1e-5)
    changed = loss_of(uniform, token_file([0, 1, 0, 4, 0, 0]), DropsFirstSpace(), loss=LastOnly())
    assert changed["bits_per_byte"] == pytest.approx(2 * math.log2(5) / 4, rel=1e-5)  # two tokens ` a` in a text


def test_the_model_reads_a_batch_once_unless_the_loss_changes_it(random_bigram, letters, token_file):
    class Shifted(NextTokenCrossEntropy):
        def prepare(self, batch, generator, tokenizer):
            return Batch(batch.token_ids * 0, batch.targets)

    plain = measure(random_bigram, token_file(TEXT), letters)
    assert len(random_bigram.calls) == 2
    changed = measure(random_bigram, token_file(TEXT), letters, loss=Shifted())
    assert len(random_bigram.calls) == 2 + 4
    assert changed["text_modeling"] == plain["text_modeling"]
    assert changed["dataset_loss"] != plain["dataset_loss"]


def test_a_loss_that_draws_numbers_draws_the_same_ones_each_time(random_bigram, letters, token_file):
    drawn = []

    class Drawing(NextTokenCrossEntropy):
        def prepare(self, batch, generator, tokenizer):
            drawn.append(int(torch.randint(0, 10**9, (), generator=generator)))
            return batch

    for _ in range(2):
        measure(random_bigram, token_file(TEXT), letters, loss=Drawing())
    assert drawn[:2] == drawn[2:]
    assert drawn[0] != drawn[1]


def test_a_known_unigram_loss_is_that_of_all_tokens_and_of_a_part_it_is_worked_out(random_bigram, letters, token_file):
    tokens, train = token_file(TEXT), token_file(TEXT + TEXT[:2])
    known = {"unigram_loss": 2.5, "train": train, "batch_size": 1}
    assert loss_of(random_bigram, tokens, letters, **known, max_batches=len(TEXT))["unigram_loss"] == 2.5
    asked = tokens.read(0, 3).astype(int)
    expected = Unigram(train, letters.vocab_size).nats(asked, None) / 3
    assert loss_of(random_bigram, tokens, letters, **known, max_batches=1)["unigram_loss"] == pytest.approx(expected)


def test_the_unigram_models_loss_stands_beside_the_loss_where_it_is_known(random_bigram, letters, token_file):
    assert loss_of(random_bigram, token_file(TEXT), letters, unigram_loss=2.5)["unigram_loss"] == 2.5
    assert "unigram_loss" not in loss_of(random_bigram, token_file(TEXT), letters)
    assert measure(random_bigram, token_file([]), letters, unigram_loss=2.5) == {}


class LeavesOut(NextTokenCrossEntropy):
    """Asks for nothing in the windows that begin with some token."""

    def __init__(self, token):
        super().__init__()
        self.token = token

    def prepare(self, batch, generator, tokenizer):
        return Batch(batch.token_ids, batch.targets.masked_fill(batch.token_ids[:, :1] == self.token, IGNORE))


def test_a_batch_in_which_nothing_counts_weighs_nothing(bigram, letters, token_file):
    uniform = bigram(*[(0.2,) * 5] * 5)
    numbers = loss_of(uniform, token_file([0, 1, 3, 4] * 3), letters, loss=LeavesOut(3))
    assert numbers["loss"] == pytest.approx(math.log(5), rel=1e-6)
    assert measure(uniform, token_file(TEXT[:3]), letters, loss=LeavesOut(4), with_text=False) == {}


def test_a_loss_beyond_all_exponents_has_a_perplexity_that_is_a_number(random_bigram, letters, token_file):
    random_bigram.table.data = torch.full((5, 5), -800.0).fill_diagonal_(0.0)
    numbers = loss_of(random_bigram, token_file([0, 1, 3, 2]), letters)  # no token comes twice in a row
    assert numbers["loss"] == pytest.approx(800)
    assert 1e300 < numbers["perplexity"] < math.inf


def test_the_share_of_hidden_tokens_is_of_those_that_are_measured(token_file):
    def share(most, **options):
        return HeldOut(token_file([0, 1, 3, 4] * 25), None, **options).share(5, most)

    assert share(10, batch_size=2, max_batches=2) == 10 / 20
    assert share(10, batch_size=2, max_batches=100) == 10 / 100
    assert share(200, batch_size=2, max_batches=100) == 1


def test_an_interruption_ends_an_evaluation(random_bigram, letters, token_file):
    with pytest.raises(EvaluationInterruptedError):
        loss_of(random_bigram, token_file(TEXT), letters, interrupted=lambda: True)
    assert random_bigram.training


class LeavesOneOut(NextTokenCrossEntropy):
    def __call__(self, states, head, batch):
        total, count = super().__call__(states, head, batch)
        return total, count - 1


def test_a_loss_that_counts_otherwise_than_its_batch_is_refused(bigram, letters, token_file):
    with pytest.raises(WorkError, match=r"counted 2 tokens, and 3 targets"):
        loss_of(bigram(*ROWS), token_file(TEXT), letters, loss=LeavesOneOut())
