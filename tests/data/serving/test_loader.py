"""Which tokens are asked for, which belong together, and which process gets which windows."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stlm.data.serving.batch import IGNORE
from stlm.data.serving.loader import WindowLoader, iterate_windows
from stlm.data.serving.sampling import ShuffledEpochs
from stlm.data.serving.tokens import Shard, TokenStream

END = 9
T = 5
TOKENS = [1, 2, END, 3, 4, 5, END, END, 6, 7, 8, 1, 2, END, 3, 4]
MASK = [0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0]


class InOrder:
    """Sampling that is easy to foretell: windows one after the other."""

    def order(self, start, count):
        return np.arange(start, start + count)


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """Store tokens, with a mask where one is given."""

    def make(tokens, mask=None):
        file = tmp_path_factory.mktemp("t") / "t.bin"
        np.asarray(tokens, dtype="<u2").tofile(file)
        if mask is not None:
            np.asarray(mask, dtype="u1").tofile(file.with_suffix(".mask"))
        return TokenStream((Shard(file, len(tokens), mask=mask is not None),), "uint16", END)

    return make


def three_windows(tokens, **options):
    return WindowLoader(tokens, InOrder(), T, batch_size=3, gradient_accumulation_steps=1, **options).batch(0, 0)


# Documents apart


def test_an_end_begins_the_next_document_and_every_token_is_asked_for(stream):
    batch = three_windows(stream(TOKENS), document_masking=True)
    assert batch.token_ids.tolist() == [[1, 2, END, 3, 4], [5, END, END, 6, 7], [8, 1, 2, END, 3]]
    assert batch.segments.tolist() == [[0, 0, 1, 1, 1], [0, 1, 2, 2, 2], [0, 0, 0, 1, 1]]
    assert batch.positions.tolist() == [[0, 1, 0, 1, 2], [0, 0, 0, 1, 2], [0, 1, 2, 0, 1]]
    assert batch.targets.flatten().tolist() == TOKENS[1:]


def test_documents_are_together_where_nothing_else_is_asked_for(stream):
    batch = three_windows(stream(TOKENS))
    assert (batch.segments, batch.positions) == (None, None)
    assert batch.targets.flatten().tolist() == TOKENS[1:]


@pytest.mark.parametrize("options", [{}, {"document_masking": True}])
def test_batches_are_contiguous_integers_that_share_no_memory(stream, options):
    batch = three_windows(stream(TOKENS * 3, MASK * 3), completions_only=True, **options)
    tensors = [t for t in (batch.token_ids, batch.targets, batch.segments, batch.positions) if t is not None]
    assert all(t.is_contiguous() and t.dtype == torch.int64 and t.shape == (3, T) for t in tensors)
    assert len({t.untyped_storage().data_ptr() for t in tensors}) == len(tensors)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(tokens=st.lists(st.sampled_from([1, 2, END]), max_size=40), window=st.integers(1, 7), rows=st.integers(1, 4))
def test_held_out_documents_are_apart_as_a_walk_over_them_says(stream, tokens, window, rows):
    asked = []
    for batch in iterate_windows(stream(tokens), window, rows, document_masking=True):
        asked += batch.targets[batch.targets != IGNORE].tolist()
        for ids, segments, positions in zip(
            *(t.tolist() for t in (batch.token_ids, batch.segments, batch.positions)), strict=True
        ):
            segment, position = 0, -1
            for t in range(window):
                position += 1
                if ids[t] == END and t > 0:
                    segment, position = segment + 1, 0
                assert (segments[t], positions[t]) == (segment, position)
    assert asked == tokens


# Completions


def test_only_tokens_of_completions_are_targets(stream):
    tokens = stream(TOKENS, MASK)
    wanted = [token if counts else IGNORE for token, counts in zip(TOKENS, MASK, strict=True)]
    assert three_windows(tokens, completions_only=True).targets.flatten().tolist() == wanted[1:]
    (held_out,) = iterate_windows(tokens, T, 4, completions_only=True)
    assert held_out.targets.flatten().tolist() == [*wanted, *[IGNORE] * 4]
    assert held_out.token_ids.flatten().tolist() == [END, *TOKENS[:-1], *[END] * 4]


def test_a_stream_that_knows_no_completions_counts_as_a_whole(stream):
    batch = three_windows(stream(TOKENS), completions_only=True)
    assert batch.targets.flatten().tolist() == TOKENS[1:]
    (held_out,) = iterate_windows(stream(TOKENS), T, 4, completions_only=True)
    assert held_out.targets.flatten()[: len(TOKENS)].tolist() == TOKENS


def test_completions_of_documents_that_are_apart(stream):
    batch = three_windows(stream(TOKENS, MASK), completions_only=True, document_masking=True)
    assert batch.targets.tolist() == [
        [2, END, IGNORE, IGNORE, 5],
        [END, END, IGNORE, IGNORE, IGNORE],
        [1, 2, END, IGNORE, IGNORE],
    ]
    assert batch.segments.tolist() == [[0, 0, 1, 1, 1], [0, 1, 2, 2, 2], [0, 0, 0, 1, 1]]


def test_a_batch_moves_with_all_that_it_holds(stream):
    moved = three_windows(stream(TOKENS), document_masking=True).to("meta")
    assert all(t.is_meta for t in (moved.token_ids, moved.targets, moved.segments, moved.positions))
    plain = three_windows(stream(TOKENS)).to("meta")
    assert (plain.segments, plain.positions) == (None, None)


# Ten billion tokens


def test_the_millionth_step_of_ten_billion_tokens_is_there_at_once(tmp_path):
    """Of the files, which take no room on the disk, only the pages that are looked at are written."""
    window, size, shards = 1024, 31_250_007, 320
    files = [tmp_path / f"train-{number:05d}.bin" for number in range(shards)]
    for file in files:
        file.touch()
        os.truncate(file, 2 * size)
    tokens = TokenStream(tuple(Shard(file, size) for file in files), "uint16", END)
    assert len(tokens) > 10**10
    sampling = ShuffledEpochs(tokens.num_windows(window), seed=1)
    loader = WindowLoader(tokens, sampling, window, batch_size=8, gradient_accumulation_steps=2)
    order = sampling.order((1_000_000 * 2 + 1) * 8, 8)
    for row, index in enumerate(order.tolist()):
        for place in (0, window):  # the first token and the last are written, as 100 + row and 200 + row
            shard, inside = divmod(index * window + place, size)
            with files[shard].open("r+b") as file:
                file.seek(2 * inside)
                file.write(np.array([100 + row + (100 if place else 0)], dtype="<u2").tobytes())
    batch = loader.batch(1_000_000, 1)
    assert batch.token_ids[:, 0].tolist() == list(range(100, 108))
    assert batch.targets[:, -1].tolist() == list(range(200, 208))
    assert not batch.token_ids[:, 1:].any()


def test_an_epoch_of_them_is_a_permutation_as_far_as_one_looks():
    windows = 10_000_000_000 // 1024
    sampling = ShuffledEpochs(windows, seed=7)
    seen = sampling.order(windows - 100_000, 200_000)
    for epoch in (seen[:100_000], seen[100_000:]):
        assert len(np.unique(epoch)) == 100_000
        assert 0 <= epoch.min() <= epoch.max() < windows
