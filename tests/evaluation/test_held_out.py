"""The held-out loss, and bits per byte, against numbers worked out by hand."""

import math

import pytest
import torch
from torch import nn

from stlm.evaluation.held_out import held_out_loss
from stlm.evaluation.quiet import EvaluationInterruptedError, evaluating
from stlm.evaluation.text_modeling import TokenBytes, text_modeling
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


def options(**changed):
    return {"context_window": 3, "batch_size": 1, "max_batches": 100, **changed}


def loss_of(model, tokens, tokenizer, **changed):
    return held_out_loss(model, NextTokenCrossEntropy(), tokens, tokenizer, seed=1, **options(**changed))


def test_the_loss_is_the_mean_over_tokens_also_of_a_last_window_that_is_not_full(bigram, letters, token_file):
    numbers = loss_of(bigram(*ROWS), token_file(TEXT), letters)  # windows of 3 and of 1 tokens
    bits = 1 + 2 + 3 + 4
    assert numbers["loss"] == pytest.approx(bits * math.log(2) / 4, rel=1e-5)
    assert numbers["perplexity"] == pytest.approx(2 ** (bits / 4), rel=1e-5)
    assert numbers["bits_per_byte"] == pytest.approx(bits / 4, rel=1e-5)  # a, b and the two bytes of é


def test_text_modeling_counts_bytes_and_leaves_the_ends_of_texts_out(bigram, letters, token_file):
    numbers = text_modeling(bigram(*ROWS), token_file(TEXT), letters, **options())
    assert numbers["bits_per_byte"] == pytest.approx((1 + 2 + 3) / 4, rel=1e-5)
    assert numbers["byte_accuracy"] == 1 / 4  # of a, b, é only a was the likeliest


def test_every_token_is_scored_once_whatever_the_window(random_bigram, letters, token_file):
    tokens = token_file([0, 1, 3, 4, 2, 2, 0, 4, 1, 3, 0, 1, 4])
    ways = [options(context_window=w, batch_size=b) for w, b in ((1, 1), (3, 2), (5, 1), (64, 8))]
    values = [text_modeling(random_bigram, tokens, letters, **way)["bits_per_byte"] for way in ways]
    assert values == pytest.approx([values[0]] * 4, rel=1e-5)


def test_at_most_the_batches_that_were_asked_for_and_always_the_same(random_bigram, letters, token_file):
    tokens = token_file([0, 1, 3, 4] * 5)
    first = loss_of(random_bigram, tokens, letters, max_batches=2)
    assert loss_of(random_bigram, tokens, letters, max_batches=2) == first
    assert len(random_bigram.calls) == 4
    assert first != loss_of(random_bigram, tokens, letters, max_batches=3)


@pytest.mark.parametrize("measure", [loss_of, lambda m, t, k, **c: text_modeling(m, t, k, **options(**c))])
def test_without_data_or_without_batches_there_are_no_numbers(measure, random_bigram, letters, token_file):
    assert measure(random_bigram, token_file([]), letters) == {}
    assert measure(random_bigram, token_file(TEXT), letters, max_batches=0) == {}


def test_a_token_has_the_bytes_that_it_has_inside_a_text():
    class DropsFirstSpace:
        vocab_size, eot_id = 3, 2

        def decode_bytes(self, ids):
            return "".join((" the", "é", "<end>")[i] for i in ids).removeprefix(" ").encode()

    import numpy as np

    assert TokenBytes(DropsFirstSpace())(np.array([0, 1, 2, 0])).tolist() == [4, 2, 0, 4]


def test_looking_at_a_model_leaves_no_trace():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout(), nn.Linear(2, 2)))
    model[0].eval()  # a part that was in evaluation mode stays in it
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with evaluating(model):
        assert not any(module.training for module in model.modules())
        torch.rand(7)
    assert [model.training, model[0].training, model[1].training] == [True, False, True]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.is_grad_enabled()


def test_an_interruption_ends_an_evaluation(random_bigram, letters, token_file):
    with pytest.raises(EvaluationInterruptedError):
        loss_of(random_bigram, token_file(TEXT), letters, interrupted=lambda: True)
    assert random_bigram.training
