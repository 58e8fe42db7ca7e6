"""Each sample is drawn from a data set by its weight, and any sample is found at once."""

import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stlm.data.serving.blend import TokenBlend
from stlm.data.serving.drawing import BlendedSampling, Drawing, sampling_of
from stlm.data.serving.sampling import ShuffledEpochs
from stlm.data.serving.tokens import Shard, TokenStream

T = 4
quickly = settings(max_examples=30, deadline=None, derandomize=True, database=None)


class InOrder:
    """Sampling that is easy to foretell: windows one after the other."""

    def __init__(self, num_windows: int) -> None:
        self.num_windows = num_windows

    def order(self, start, count):
        return np.arange(start, start + count) % self.num_windows


# Which stream


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 1.0), (3.0, 1.0), (0.1, 0.2, 0.7), (5.0, 1e-3, 2.0), (1.0,) * 7])
def test_each_block_holds_the_shares_to_a_sample(weights):
    drawing = Drawing(weights, seed=1)
    for number in (0, 1, 2, 1000):
        sources = drawing.sources(number * drawing.block, drawing.block)
        counts = np.bincount(sources, minlength=len(weights))
        wanted = np.array(weights) / sum(weights) * drawing.block
        assert np.abs(counts - wanted).max() <= len(weights)


@quickly
@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=6), st.integers(0, 2**40), st.integers(0, 2**62))
def test_up_to_any_block_each_stream_has_its_exact_share(weights, blocks, seed):
    drawing = Drawing(weights, seed)
    total = blocks * drawing.block
    drawn = drawing.drawn(total)
    exact = [Fraction(w) / sum(map(Fraction, weights)) * total for w in weights]
    assert drawn.sum() == total
    heaviest = max(range(len(weights)), key=lambda i: weights[i])
    for i, (count, wanted) in enumerate(zip(drawn.tolist(), exact, strict=True)):
        assert abs(count - wanted) <= (len(weights) / 2 if i == heaviest else Fraction(1, 2))


@quickly
@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=5), st.integers(0, 20_000), st.integers(0, 300))
def test_what_has_been_drawn_is_counted_as_it_was_drawn(weights, start, count):
    drawing = Drawing(weights, seed=3)
    sources = drawing.sources(start, count)
    assert sources.shape == (count,)
    more = drawing.drawn(start + count) - drawing.drawn(start)
    assert np.array_equal(more, np.bincount(sources, minlength=len(weights)))


@quickly
@given(st.integers(0, 3 * 4096), st.integers(1, 9000))
def test_samples_are_the_same_however_they_are_asked_for(start, count):
    whole = Drawing((2.0, 1.0), seed=5).sources(0, start + count)
    assert np.array_equal(Drawing((2.0, 1.0), seed=5).sources(start, count), whole[start:])


def test_a_tiny_share_is_not_starved():
    drawing = Drawing((1.0, 1e-6), seed=0)
    assert drawing.drawn(10_000_000 // drawing.block * drawing.block)[1] == 10


def test_many_streams_never_take_more_than_the_heaviest_has_left():
    drawing = Drawing([1.0] * 150, seed=0)
    counts = [np.bincount(drawing.sources(n * drawing.block, drawing.block), minlength=150) for n in range(3)]
    assert all(count.min() >= 100 for count in counts)


def test_samples_of_a_block_are_mixed_and_each_block_otherwise():
    drawing = Drawing((1.0, 1.0), seed=0)
    first, second = (drawing.sources(n * drawing.block, drawing.block) for n in range(2))
    assert not np.array_equal(first, second)
    changes = (np.diff(first) != 0).mean()
    assert 0.45 < changes < 0.55  # of a fair coin: 1/2, of sorted or alternating samples 0 or 1


def test_the_order_is_drawn_from_the_seed():
    one, other = (Drawing((1.0, 1.0), seed).sources(0, 100) for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_the_scale_of_weights_does_not_matter():
    for scale in (0.5, 3.0, 1e-3):
        scaled = Drawing((2.0 * scale, 1.0 * scale), seed=0)
        assert np.array_equal(scaled.sources(0, 9000), Drawing((2.0, 1.0), seed=0).sources(0, 9000))


def test_the_billionth_sample_takes_no_longer_than_the_first():
    def seconds(start):
        drawing = Drawing((3.0, 1.0, 0.01), seed=0)
        began = time.perf_counter()
        drawing.sources(start, 64), drawing.drawn(start)
        return time.perf_counter() - began

    first, late = (min(seconds(start) for _ in range(5)) for start in (10, 10**12))
    assert late < 3 * first + 0.005


# Which window


def test_each_stream_keeps_an_order_of_its_own():
    sampling = BlendedSampling(Drawing((2.0, 1.0), 0), (InOrder(10_000), InOrder(50)), np.array([0, 10_000]))
    order = sampling.order(0, 9000)
    first, second = order[order < 10_000], order[order >= 10_000] - 10_000
    assert np.array_equal(first, np.arange(len(first)))
    assert np.array_equal(second, np.arange(len(second)) % 50)
    assert abs(len(first) - 6000) < 100


@settings(quickly, max_examples=10)
@given(st.integers(0, 6000), st.integers(0, 3000))
def test_windows_are_the_same_however_they_are_asked_for(start, count):
    def sampling():
        own = (ShuffledEpochs(70, 1), ShuffledEpochs(11, 2), ShuffledEpochs(500, 3))
        return BlendedSampling(Drawing((2.0, 1.0, 0.3), 0), own, np.array([0, 70, 81]))

    assert np.array_equal(sampling().order(start, count), sampling().order(0, start + count)[start:])


def blend_of(*tokens, weights=None):
    """A blend of streams of so many tokens, of which none is read."""
    streams = tuple(TokenStream((Shard(Path("nowhere"), count),), "uint16", 0) for count in tokens)
    return TokenBlend(streams, weights or (1.0,) * len(streams), tuple("abcdef"[: len(streams)]))


def test_every_window_comes_once_an_epoch_of_its_stream():
    blend = blend_of(401, 41, weights=(1.0, 3.0))
    order = sampling_of(blend, ShuffledEpochs, T, seed=0).order(0, 4000)
    first, second = order[order < 100], order[order >= 100]
    assert sorted(first[:100]) == list(range(100))
    assert all(sorted(second[i : i + 10]) == list(range(100, 110)) for i in range(0, 290, 10))
    assert abs(Counter(order < 100)[True] - 1000) < 50


def test_streams_of_one_length_are_shuffled_each_in_its_own_way():
    blend = blend_of(401, 401)
    order = sampling_of(blend, ShuffledEpochs, T, seed=0).order(0, 200)
    assert not np.array_equal(order[order < 100][:80], order[order >= 100][:80] - 100)


def test_one_stream_is_sampled_as_it_is_without_a_blend():
    alone = sampling_of(blend_of(401).streams[0], ShuffledEpochs, T, seed=7)
    assert np.array_equal(alone.order(0, 100), ShuffledEpochs(100, 7).order(0, 100))
