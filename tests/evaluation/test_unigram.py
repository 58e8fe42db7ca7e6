"""The unigram loss of the tokens that a loss asks for, beside that of all."""

import math

import numpy as np
import pytest

from stlm.compiler import compile
from stlm.data.preparation.prepare import prepare
from stlm.data.serving.blend import TokenBlend
from stlm.evaluation import unigram
from stlm.evaluation.held_out import HeldOut
from stlm.evaluation.unigram import Unigram, count_tokens
from stlm.training.losses import NextTokenCrossEntropy
from stlm.training.masking import MaskedNextToken


def test_of_all_tokens_it_is_what_preparation_said(tiny_spec):
    spec = tiny_spec()
    data = prepare(spec, compile(spec, "cpu").tokenizer)
    tokens = data.val.read(0, len(data.val))
    assert Unigram(data.train, 300).nats(tokens, None) / len(tokens) == pytest.approx(data.unigram_loss, rel=1e-12)


def test_it_is_of_the_tokens_that_are_given(token_file):
    known = Unigram(token_file([0, 0, 0, 1]), 5)  # with one more of each: 4, 2, 1, 1, 1 of 9
    assert known.nats(np.array([0, 1, 1, 4]), None) == pytest.approx(-math.log(4 / 9 * 2 / 9 * 2 / 9 * 1 / 9))


def test_in_a_mixture_each_data_set_is_known_by_its_own_tokens(tmp_path, token_file):
    first = token_file([0, 0, 0, 1])
    (tmp_path / "val.bin").rename(tmp_path / "first.bin")
    first = type(first)((type(first.shards[0])(tmp_path / "first.bin", 4),), "uint16", eot_id=4)
    known = Unigram(TokenBlend((first, token_file([1, 1, 1, 1])), (1.0, 1.0), ("a", "b")), 5)
    assert known.nats(np.array([0]), "a") == pytest.approx(-math.log(4 / 9))
    assert known.nats(np.array([0]), "b") == pytest.approx(-math.log(1 / 9))


def test_of_many_tokens_pieces_from_all_over_are_counted(token_file, monkeypatch):
    monkeypatch.setattr(unigram, "_PIECE", 3)
    stream = token_file([0, 0, 1, 2, 2, 2, 3, 3, 3, 0, 0, 4, 1, 1])
    assert count_tokens(stream, 5).tolist() == [4, 3, 3, 3, 1]
    assert count_tokens(stream, 5, most=7).tolist() == [2, 3, 0, 3, 0]  # every other piece, and the last is short


@pytest.mark.parametrize(
    ("loss", "changed", "counted"),
    [
        (NextTokenCrossEntropy(), {}, False),
        (NextTokenCrossEntropy(), {"document_masking": True}, False),
        (NextTokenCrossEntropy(), {"loss_on": "completion"}, True),
        (MaskedNextToken(0.15), {}, True),
    ],
    ids=["all", "documents apart", "completions", "masked"],
)
def test_it_is_worked_out_where_a_loss_asks_for_some_tokens_alone(tiny_spec, loss, changed, counted):
    import attrs

    spec = tiny_spec()
    data = prepare(spec, compile(spec, "cpu").tokenizer)
    held_out = HeldOut.of(data, attrs.evolve(spec.trainer, **changed), loss)
    assert (held_out.unigram_loss is None) is counted
