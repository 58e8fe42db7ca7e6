"""The unigram model, by hand."""

import math

import numpy as np
import pytest

from stlm.data.unigram import unigram_baseline


def test_held_out_tokens_are_scored_by_how_often_the_training_tokens_occur() -> None:
    baseline = unigram_baseline(np.array([3, 0]), np.array([0, 2]), val_bytes=4)
    assert baseline is not None
    assert baseline.nats_per_token == pytest.approx(math.log(5))  # p = (0 + 1) / (3 + 2)
    assert baseline.bits_per_byte == pytest.approx(2 * math.log2(5) / 4)


def test_without_held_out_data_there_is_no_baseline() -> None:
    assert unigram_baseline(np.array([3, 0]), np.array([0, 0]), val_bytes=0) is None
