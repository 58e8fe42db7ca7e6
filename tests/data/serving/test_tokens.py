"""Token files, orders, batches and the unigram baseline."""

import math
import os
import pickle
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stlm.data.preparation.unigram import unigram_baseline
from stlm.data.serving.batch import IGNORE, Batch
from stlm.data.serving.loader import WindowLoader, iterate_windows
from stlm.data.serving.permutation import Permutation
from stlm.data.serving.sampling import ShuffledEpochs
from stlm.data.serving.tokens import Shard, TokenStream, dtype_for
from stlm.spec.errors import WorkError


def token_file(folder: Path, ids: list[int], dtype: str = "uint16", name: str = "t.bin") -> TokenStream:
    np.array(ids, dtype=f"<{np.dtype(dtype).str[1:]}").tofile(folder / name)
    return TokenStream((Shard(folder / name, len(ids)),), dtype, eot_id=99)


def test_a_big_vocabulary_is_stored_in_four_bytes(tmp_path: Path) -> None:
    assert [dtype_for(n) for n in (50257, 65535, 65536, 200019)] == ["uint16", "uint16", "uint32", "uint32"]
    tokens = token_file(tmp_path, [1, 200018, 65536], "uint32")
    assert len(tokens) == 3
    assert tokens.windows(np.array([0]), 2).tolist() == [[1, 200018, 65536]]


def test_neighboring_windows_share_one_token(tmp_path: Path) -> None:
    tokens = token_file(tmp_path, list(range(11)))
    assert tokens.num_windows(5) == 2
    assert tokens.windows(np.array([1, 0]), 5).tolist() == [[5, 6, 7, 8, 9, 10], [0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize(("length", "windows"), [(0, 0), (1, 0), (5, 0), (6, 1), (10, 1), (11, 2)])
def test_only_whole_windows_count(tmp_path: Path, length: int, windows: int) -> None:
    assert token_file(tmp_path, [7] * length).num_windows(5) == windows


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**63 - 1))
def test_a_permutation_is_a_bijection(size: int, key: int) -> None:
    out = Permutation(size, key)(np.arange(size))
    assert out.dtype == np.int64
    assert np.array_equal(np.sort(out), np.arange(size))


def test_a_permutation_computes_places_one_by_one_as_all_at_once() -> None:
    shuffle = Permutation(1000, 7)
    assert [int(shuffle(np.array([i]))[0]) for i in range(1000)] == shuffle(np.arange(1000)).tolist()


def test_a_permutation_of_a_huge_range_takes_no_memory() -> None:
    out = Permutation(10**12, 3)(np.arange(1000))
    assert len(set(out.tolist())) == 1000
    assert out.max() > 9 * 10**11


def test_a_permutation_looks_shuffled() -> None:
    size = 10_000
    out = Permutation(size, 5)(np.arange(size))
    assert abs(np.corrcoef(np.arange(size), out)[0, 1]) < 0.05
    assert abs(np.corrcoef(out[:-1], out[1:])[0, 1]) < 0.05
    assert (out == np.arange(size)).sum() < 12  # of a random order, one on average


def test_each_epoch_holds_every_window_once_in_an_order_of_its_own() -> None:
    order = ShuffledEpochs(50, seed=1).order(0, 150).reshape(3, 50)
    assert all(sorted(epoch) == list(range(50)) for epoch in order.tolist())
    assert len({tuple(epoch) for epoch in order.tolist()}) == 3


def test_the_order_follows_the_seed() -> None:
    first = ShuffledEpochs(50, seed=1).order(0, 50).tolist()
    assert ShuffledEpochs(50, seed=1).order(0, 50).tolist() == first
    assert ShuffledEpochs(50, seed=2).order(0, 50).tolist() != first


@given(st.integers(0, 200), st.integers(0, 60))
def test_the_order_is_a_function_of_the_sample(start: int, count: int) -> None:
    sampling = ShuffledEpochs(37, seed=3)
    assert sampling.order(start, count).tolist() == sampling.order(0, start + count)[start:].tolist()


def test_training_data_without_a_whole_window_is_an_error() -> None:
    with pytest.raises(WorkError, match="no whole window"):
        ShuffledEpochs(0, seed=1)


def test_a_step_gets_the_samples_of_its_number_whatever_the_accumulation(tmp_path: Path) -> None:
    tokens = token_file(tmp_path, list(range(401)))
    sampling = ShuffledEpochs(tokens.num_windows(4), seed=1)
    small = WindowLoader(tokens, sampling, 4, batch_size=2, gradient_accumulation_steps=3)
    large = WindowLoader(tokens, sampling, 4, batch_size=6, gradient_accumulation_steps=1)
    for step in (0, 5, 40):
        parts = [small.batch(step, micro_step) for micro_step in range(3)]
        whole = large.batch(step, 0)
        assert torch.equal(torch.cat([p.token_ids for p in parts]), whole.token_ids)
        assert torch.equal(torch.cat([p.targets for p in parts]), whole.targets)


def test_targets_are_the_tokens_that_follow(tmp_path: Path) -> None:
    tokens = token_file(tmp_path, list(range(101)))
    batch = WindowLoader(tokens, ShuffledEpochs(25, seed=1), 4, 3, 1).batch(0, 0)
    assert batch.token_ids.shape == batch.targets.shape == (3, 4)
    assert batch.token_ids.dtype == batch.targets.dtype == torch.int64
    assert torch.equal(batch.token_ids + 1, batch.targets)


@settings(max_examples=60, deadline=None)
@given(total=st.integers(0, 70), context_window=st.integers(1, 9), batch_size=st.integers(1, 5))
def test_held_out_tokens_are_each_a_target_once_after_the_token_before_them(
    tmp_path_factory: pytest.TempPathFactory, total: int, context_window: int, batch_size: int
) -> None:
    ids = [(i * 7) % 90 for i in range(total)]
    tokens = token_file(tmp_path_factory.mktemp("t"), ids)
    batches = list(iterate_windows(tokens, context_window, batch_size))
    inputs = [i for b in batches for i in b.token_ids.flatten().tolist()]
    targets = [t for b in batches for t in b.targets.flatten().tolist()]
    padding = -total % context_window
    assert targets == ids + [IGNORE] * padding
    assert inputs[:total] == ([99, *ids])[:total]
    assert inputs[total:] == [99] * padding
    assert all(b.token_ids.shape[1] == context_window and len(b.token_ids) <= batch_size for b in batches)


def test_a_batch_moves_with_all_that_it_holds() -> None:
    ids = torch.zeros(1, 2, dtype=torch.int64)
    moved = Batch(ids, ids, ids).to("meta")
    assert moved.segments is not None
    assert moved.token_ids.is_meta
    assert moved.targets.is_meta
    assert moved.segments.is_meta
    assert Batch(ids, ids).to("cpu").segments is None


@pytest.mark.parametrize(("device", "later"), [("cpu", False), ("meta", False), ("cuda", True), ("cuda:1", True)])
def test_only_a_copy_to_cuda_is_not_waited_for(device: str, later: bool) -> None:
    class Asked(torch.Tensor):
        def to(self, *args: Any, **options: Any) -> Any:  # where there is no such device
            return args, options

    ids = torch.zeros(1, 2, dtype=torch.int64).as_subclass(Asked)
    moved = Batch(ids, ids).to(device)
    assert moved.token_ids == moved.targets == ((device,), {"non_blocking": later})


def test_the_unigram_baseline_is_that_of_smoothed_counts() -> None:
    found = unigram_baseline(np.array([3, 1, 0, 0]), np.array([1, 1, 1, 0]), val_bytes=6)
    assert found is not None
    nats = -(math.log(4 / 8) + math.log(2 / 8) + math.log(1 / 8))
    assert found.nats_per_token == pytest.approx(nats / 3)
    assert found.bits_per_byte == pytest.approx(nats / math.log(2) / 6)


def test_there_is_no_baseline_without_held_out_data() -> None:
    assert unigram_baseline(np.array([0, 1]), np.array([0, 0]), val_bytes=0) is None


def sharded(folder: Path, sizes: list[int]) -> TokenStream:
    """Lay out the numbers from 0 on over shards of given sizes, with a mask of which are divisible by 3."""
    shards, first = [], 0
    for number, size in enumerate(sizes):
        path = folder / f"{number}.bin"
        np.arange(first, first + size, dtype="<u2").tofile(path)
        (np.arange(first, first + size) % 3 == 0).astype("u1").tofile(path.with_suffix(".mask"))
        shards.append(Shard(path, size, mask=True))
        first += size
    return TokenStream(tuple(shards), "uint16", eot_id=99)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=6), st.integers(1, 9))
def test_windows_go_on_across_shards(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], context_window: int
) -> None:
    stream = sharded(tmp_path_factory.mktemp("t"), sizes)
    indices = np.arange(stream.num_windows(context_window))[::-1]
    wanted = indices[:, None] * context_window + np.arange(context_window + 1)
    assert np.array_equal(stream.windows(indices, context_window), wanted)
    assert np.array_equal(stream.completion_mask(indices, context_window), wanted % 3 == 0)
    assert stream.read(0, len(stream)).tolist() == list(range(sum(sizes)))


def test_only_shards_that_are_wanted_are_opened(tmp_path: Path) -> None:
    stream = sharded(tmp_path, [8, 8, 8])
    (tmp_path / "0.bin").unlink()
    assert stream.windows(np.array([4]), 4).tolist() == [[16, 17, 18, 19, 20]]


def test_a_stream_that_was_read_pickles(tmp_path: Path) -> None:
    stream = sharded(tmp_path, [5, 6])
    stream.read(0, 11)
    copy = pickle.loads(pickle.dumps(stream))
    assert copy == stream
    assert copy.read(3, 7).tolist() == [3, 4, 5, 6]
    assert len(pickle.dumps(stream)) < 2000


def test_a_shard_that_was_read_keeps_no_file_open(tmp_path: Path) -> None:
    stream = sharded(tmp_path, [4] * 20)
    before = len(os.listdir("/proc/self/fd"))
    stream.read(0, 80)
    assert len(os.listdir("/proc/self/fd")) == before


def test_keys_that_differ_in_their_upper_bits_give_other_orders() -> None:
    orders = {tuple(Permutation(100, key)(np.arange(100)).tolist()) for key in (1, 1 + 2**32, 1 + 2**63, 2)}
    assert len(orders) == 4


@pytest.mark.parametrize("kind", ["bin", "mask"])
def test_a_shard_that_is_cut_short_is_told(tmp_path: Path, kind: str) -> None:
    tokens = TokenStream(tuple(attrs.evolve(s, mask=True) for s in sharded(tmp_path, [6, 7]).shards), "uint16", 99)
    for shard in tokens.shards:
        np.ones(shard.tokens, dtype=np.uint8).tofile(shard.path.with_suffix(".mask"))
    file = tokens.shards[1].path.with_suffix(f".{kind}")
    file.write_bytes(file.read_bytes()[:-1])
    read = tokens.read if kind == "bin" else tokens.read_mask
    assert len(read(0, 12)) == 12
    with pytest.raises(WorkError, match=f"{file.name} is damaged: it should hold 7 tokens"):
        read(0, 13)


def test_completions_are_known_only_where_every_shard_marks_them(tmp_path: Path) -> None:
    marked, plain = (Shard(tmp_path / name, 3, mask=mask) for name, mask in (("a.bin", True), ("b.bin", False)))
    assert [
        TokenStream(shards, "uint16", 99).has_mask
        for shards in ((marked, marked), (marked, plain), (plain, marked), ())
    ] == [True, False, False, False]
