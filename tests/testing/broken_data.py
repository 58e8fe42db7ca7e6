"""Tokenizers, data sets, samplings, loaders and benchmarks that break a promise."""

import itertools
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stlm.data.serving.batch import Batch
from stlm.data.serving.loader import WindowLoader
from stlm.evaluation.items import Item
from stlm.registry import component
from tests.testing.faults import caught_by

_numbers = itertools.count()


class Bytes:
    """A good tokenizer: ids 0 to 255 are bytes."""

    vocab_size, eot_id, mask_id, fingerprint = 258, 256, 257, "bytes"

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [list(text.encode()) for text in texts]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        return b"".join(bytes([i]) if 0 <= i < 256 else "\ufffd".encode() for i in ids)

    def decode(self, ids: Iterable[int]) -> str:
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def normalize(self, text: str) -> str:
        return text

    def save(self, folder: Path) -> None:
        pass


def tokenizer(made: type, *, told: int = 258, loaded: type | None = None) -> type:
    @component("tokenizer", "broken")
    class Broken:
        """A tokenizer in which something is wrong."""

        vocab_size = told

        def build(self, spec: Any) -> Any:
            return made()

        def load(self, folder: Path) -> Any:
            return (loaded or made)()

    return Broken


@caught_by("vocabulary", "its component says 300 tokens, and its tokenizer has 258")
def tokenizer_that_promises_more_than_it_has() -> type:
    return tokenizer(Bytes, told=300)


@caught_by("round-trip", "comes back as")
def tokenizer_that_loses_capitals() -> type:
    class Lower(Bytes):
        def encode_batch(self, texts: list[str]) -> list[list[int]]:
            return super().encode_batch([text.lower() for text in texts])

    return tokenizer(Lower)


@caught_by("any-id", "raises ValueError")
def tokenizer_that_cannot_decode_a_special_token() -> type:
    class Strict(Bytes):
        def decode_bytes(self, ids: Iterable[int]) -> bytes:
            return bytes(ids)

    return tokenizer(Strict)


@caught_by("special-tokens", "is encoded with the special token 256 in it")
def tokenizer_whose_documents_can_end_themselves() -> type:
    class Ending(Bytes):
        def encode_batch(self, texts: list[str]) -> list[list[int]]:
            return [[256 if c == "\ufffd" else b for c in text for b in c.encode()] for text in texts]

    return tokenizer(Ending)


@caught_by("stored-tokenizer", "stored and read, its `eot_id` is 0, and was 256")
def tokenizer_that_is_read_as_another() -> type:
    class Other(Bytes):
        eot_id = 0

    return tokenizer(Bytes, loaded=Other)


@caught_by("fingerprint", "when it is made again")
def tokenizer_whose_fingerprint_counts() -> type:
    class Counting(Bytes):
        def __init__(self) -> None:
            self.fingerprint = f"bytes-{next(_numbers)}"

    return tokenizer(Counting)


class Sums:
    """A good source."""

    def documents(self) -> Iterator[str]:
        yield from (f"{n} plus {n} is {n + n}. " * 3 for n in range(200))

    def fingerprint(self) -> str:
        return "sha256:sums"


def dataset(made: type) -> type:
    @component("dataset", "broken")
    class Broken:
        """Data in which something is wrong."""

        def build(self, spec: Any) -> Any:
            return made()

    return Broken


@caught_by("documents", "a second time, document")
def data_set_in_another_order_each_time() -> type:
    class Shuffled(Sums):
        def documents(self) -> Iterator[str]:
            found = list(super().documents())
            random.Random(next(_numbers)).shuffle(found)
            yield from found

    return dataset(Shuffled)


@caught_by("documents", "document 0 is b'bytes', not a text")
def data_set_of_bytes() -> type:
    class Raw(Sums):
        def documents(self) -> Iterator[Any]:
            yield b"bytes"

    return dataset(Raw)


@caught_by("data-fingerprint", "its fingerprint was")
def data_set_whose_fingerprint_counts() -> type:
    class Counting(Sums):
        def fingerprint(self) -> str:
            return f"sha256:{next(_numbers)}"

    return dataset(Counting)


@caught_by("splits", "")
def data_set_without_a_window() -> type:
    class Tiny(Sums):
        def documents(self) -> Iterator[str]:
            yield "a"

    return dataset(Tiny)


def sampling(order: Any) -> type:
    class Order:
        def __init__(self, num_windows: int, seed: int) -> None:
            self.num_windows, self.seed, self.calls = num_windows, seed, 0

        def order(self, start: int, count: int) -> Any:
            self.calls += 1
            return order(self, np.arange(start, start + count))

    @component("datasampling", "broken")
    class Broken:
        """An order in which something is wrong."""

        def build(self, trainer: Any, num_windows: int, seed: int) -> Any:
            return Order(num_windows, seed)

    return Broken


@caught_by("every-window-once", "comes 2 times")
def sampling_with_replacement() -> type:
    return sampling(lambda self, samples: samples // 2 % self.num_windows)


@caught_by("order", "asked for one by one")
def sampling_that_depends_on_how_often_it_was_asked() -> type:
    return sampling(lambda self, samples: (samples + self.calls) % self.num_windows)


@caught_by("batches", "targets are not the tokens one place on")
def loader_whose_targets_are_its_inputs() -> type:
    class Copying(WindowLoader):
        def batch(self, step: int, micro_step: int) -> Batch:
            made = super().batch(step, micro_step)
            return Batch(made.token_ids, made.token_ids.clone())

    @component("dataloader", "broken")
    class Broken:
        """A loader in which something is wrong."""

        def build(self, trainer: Any, tokens: Any, sampling: Any, context_window: int) -> Any:
            steps = trainer.gradient_accumulation_steps
            return Copying(tokens, sampling, context_window, trainer.batch_size, steps)

    return Broken


def benchmark(draw: Any, gold: int = 0) -> type:
    @component("benchmark", "broken")
    class Broken:
        """Questions of which something is wrong."""

        def items(self, num_samples: int, seed: int) -> list[Any]:
            rows = range(50)
            drawn = sorted(draw(rows, num_samples, seed)) if 0 < num_samples < len(rows) else rows
            return [Item(row, f"{row},", (str(row + 1), "no"), gold) for row in drawn]

    return Broken


@caught_by("questions", "choice 2 is right, and there are 2")
def benchmark_whose_answer_is_no_choice() -> type:
    return benchmark(lambda rows, count, seed: random.Random(seed).sample(rows, count), gold=2)


@caught_by("drawn-rows", "another seed draws the same rows")
def benchmark_that_takes_the_first_rows() -> type:
    return benchmark(lambda rows, count, seed: rows[:count])


@caught_by("round-trip", "becomes other ids in a batch than alone")
def tokenizer_whose_batches_are_padded() -> type:
    class Padding(Bytes):
        def encode_batch(self, texts: list[str]) -> list[list[int]]:
            found = super().encode_batch(texts)
            longest = max(map(len, found))
            return [ids + [256] * (longest - len(ids)) for ids in found]

    return tokenizer(Padding)


@caught_by("any-id", "say two things")
def tokenizer_whose_bytes_are_not_its_text() -> type:
    class Double(Bytes):
        def decode(self, ids: Iterable[int]) -> str:
            return super().decode(ids).upper()

    return tokenizer(Double)


@caught_by("vocabulary", "its `eot_id` is 300, and its ids are 0 to 257")
def tokenizer_whose_end_is_outside() -> type:
    class Outside(Bytes):
        eot_id = 300

    return tokenizer(Outside)


@caught_by("documents", "it has no document")
def data_set_without_a_document() -> type:
    class Empty(Sums):
        def documents(self) -> Iterator[str]:
            yield from ()

    return dataset(Empty)


@caught_by("every-window-once", "is asked for")
def sampling_beyond_the_last_window() -> type:
    return sampling(lambda self, samples: samples % self.num_windows + 1)


@caught_by("batches", "two steps have the same batch")
def loader_that_never_moves_on() -> type:
    class Standing(WindowLoader):
        def batch(self, step: int, micro_step: int) -> Batch:
            return super().batch(0, 0)

    @component("dataloader", "broken")
    class Broken:
        """A loader in which something is wrong."""

        def build(self, trainer: Any, tokens: Any, sampling: Any, context_window: int) -> Any:
            steps = trainer.gradient_accumulation_steps
            return Standing(tokens, sampling, context_window, trainer.batch_size, steps)

    return Broken


@caught_by("questions", "5 rows were asked for, and 50 came")
def benchmark_that_always_asks_everything() -> type:
    return benchmark(lambda rows, count, seed: rows)


@caught_by("drawn-rows", "from the same seed, other rows are drawn")
def benchmark_that_draws_anew_each_time() -> type:
    return benchmark(lambda rows, count, seed: random.Random(next(_numbers)).sample(rows, count))


@caught_by("drawn-rows", "a row is drawn twice")
def benchmark_that_draws_with_replacement() -> type:
    return benchmark(lambda rows, count, seed: [seed, seed, *random.Random(seed).sample(rows, count - 2)])
