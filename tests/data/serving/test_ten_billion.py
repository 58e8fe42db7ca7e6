"""A corpus of ten billion tokens, of which a batch reads only what it serves."""

import os
from pathlib import Path

import numpy as np

from stlm.data.serving.loader import WindowLoader
from stlm.data.serving.sampling import ShuffledEpochs
from stlm.data.serving.tokens import Shard, TokenStream

TOKENS, SHARDS, WINDOW, BATCH = 31_250_000, 320, 1024, 8


def test_the_first_batch_after_a_million_steps_is_the_one_that_the_order_says(tmp_path: Path) -> None:
    shards = []
    for number in range(SHARDS):
        file = tmp_path / f"train-{number:05}-00000.bin"
        file.touch()
        os.truncate(file, 2 * TOKENS)  # sparse: it takes no room
        shards.append(Shard(file, TOKENS))
    stream = TokenStream(tuple(shards), "uint16", eot_id=0)
    assert len(stream) == 10_000_000_000
    sampling = ShuffledEpochs(stream.num_windows(WINDOW), seed=7)
    first = int(sampling.order(1_000_000 * BATCH, 1)[0])
    shard, inside = divmod(first * WINDOW, TOKENS)
    with open(shards[shard].path, "r+b") as file:
        file.seek(2 * inside)
        file.write(np.arange(1, 11, dtype="<u2").tobytes())
    batch = WindowLoader(stream, sampling, WINDOW, BATCH, 1).batch(1_000_000, 0)
    assert batch.token_ids.shape == (BATCH, WINDOW)
    assert batch.token_ids[0, :10].tolist() == list(range(1, 11))
    assert not batch.token_ids[1:].any()


def test_an_epoch_of_them_is_a_permutation_as_far_as_one_looks() -> None:
    windows = 10_000_000_000 // WINDOW
    sampling = ShuffledEpochs(windows, seed=7)
    seen = sampling.order(windows - 100_000, 200_000)
    for epoch in (seen[:100_000], seen[100_000:]):
        assert len(np.unique(epoch)) == 100_000
        assert 0 <= epoch.min() <= epoch.max() < windows
