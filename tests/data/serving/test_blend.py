"""Several streams as one, and turns that are taken by weight."""

import numpy as np
import pytest

from stlm.data.serving.blend import TokenBlend, interleaved
from stlm.data.serving.tokens import Shard, TokenStream

T = 4


@pytest.fixture
def stream(tmp_path):
    """Make a stream of given tokens, with a mask where one is given."""

    def make(tokens, mask=None):
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.bin"
        np.asarray(tokens, dtype="<u2").tofile(file)
        if mask is not None:
            np.asarray(mask, dtype="u1").tofile(file.with_suffix(".mask"))
        return TokenStream((Shard(file, len(tokens), mask=mask is not None),), "uint16", 0)

    return make


def blend_of(*streams, weights=None):
    return TokenBlend(streams, weights or (1.0,) * len(streams), tuple("abcdef"[: len(streams)]))


# Which tokens


def test_windows_are_read_from_the_stream_that_they_are_numbered_in(stream):
    blend = blend_of(stream(range(9)), stream(range(100, 113)), stream([7]), stream(range(200, 205)))
    assert blend.num_windows(T) == 2 + 3 + 0 + 1
    read = blend.windows(np.array([5, 0, 2, 4, 2]), T)
    assert read.dtype == np.int64
    assert read[:, 0].tolist() == [200, 0, 100, 108, 100]
    assert read[0].tolist() == [200, 201, 202, 203, 204]


def test_plain_texts_count_as_a_whole_beside_completions(stream):
    blend = blend_of(stream(range(5)), stream(range(100, 105), mask=[0, 0, 1, 1, 0]))
    assert blend.has_mask
    mask = blend.completion_mask(np.array([1, 0]), T)
    assert mask.tolist() == [[False, False, True, True, False], [True] * 5]


def test_a_blend_of_plain_texts_has_no_mask(stream):
    assert not blend_of(stream(range(5)), stream(range(5))).has_mask


def test_the_tokens_of_a_blend_lie_one_stream_behind_the_other(stream):
    blend = blend_of(stream(range(5)), stream(range(100, 103)))
    assert len(blend) == 8
    assert blend.read(0, 8).tolist() == [0, 1, 2, 3, 4, 100, 101, 102]
    assert blend.read(4, 6).tolist() == [4, 100]
    assert blend.read(6, 6).tolist() == []


# Held-out data


def test_streams_take_turns_by_weight_until_each_is_exhausted():
    turns = list(interleaved((2.0, 1.0), (iter("aaaa"), iter("bbbb"))))
    assert "".join(item for _, item in turns) == "abaababb"
    assert [number for number, _ in turns] == [0, 1, 0, 0, 1, 0, 1, 1]


def test_turns_are_always_the_same():
    def turns():
        return [number for number, _ in interleaved((0.3, 0.5, 0.2), tuple(iter(range(50)) for _ in range(3)))]

    assert turns() == turns()
