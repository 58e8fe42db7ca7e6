"""Data sets, samplings and loaders that break a promise."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from stlm.data.serving.batch import Batch
from stlm.data.serving.loader import WindowLoader
from stlm.registry import component
from tests.testing.faults import caught_by

_numbers = itertools.count()


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


def loader(change: Any) -> type:
    """A loader of windows, whose batches a function of (loader's own batch, step, micro_step) changes."""

    class Changing(WindowLoader):
        def batch(self, step: int, micro_step: int) -> Batch:
            return change(super().batch, step, micro_step)

    @component("dataloader", "broken")
    class Broken:
        """A loader in which something is wrong."""

        def build(self, trainer: Any, tokens: Any, sampling: Any, context_window: int) -> Any:
            steps = trainer.gradient_accumulation_steps
            return Changing(tokens, sampling, context_window, trainer.batch_size, steps)

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


@caught_by("splits", "holds no whole window of 16 tokens to train on")
def data_set_without_a_window() -> type:
    class Tiny(Sums):
        def documents(self) -> Iterator[str]:
            yield "a"

    return dataset(Tiny)


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


@caught_by("documents", "when it is made again, document 0 is another one")
def data_set_in_another_order_when_it_is_made_again() -> type:
    class Begun(Sums):
        def __init__(self) -> None:
            self.first = next(_numbers)

        def documents(self) -> Iterator[str]:
            yield f"This is the {self.first}. "
            yield from super().documents()

    return dataset(Begun)


@caught_by("data-fingerprint", "its fingerprint is None")
def data_set_without_a_fingerprint() -> type:
    class Unknown(Sums):
        def fingerprint(self) -> Any:
            return None

    return dataset(Unknown)


@caught_by("splits", "its val side has no window of 16 tokens")
def data_set_that_is_one_sentence() -> type:
    class Short(Sums):
        def documents(self) -> Iterator[str]:
            yield "The quick brown fox jumps over the lazy dog."

    return dataset(Short)


@caught_by("order", "samples 30 to 49 by themselves are others")
def sampling_that_shuffles_what_is_asked_for_together() -> type:
    def shuffled(self: Any, samples: Any) -> Any:
        return np.sort(samples % self.num_windows) if len(samples) < 50 else samples % self.num_windows

    return sampling(shuffled)


@caught_by("order", "none were asked for, and some came")
def sampling_that_always_gives_one() -> type:
    return sampling(lambda self, samples: (samples if len(samples) else np.array([0])) % self.num_windows)


@caught_by("batches", "`token_ids` are (2, 16), not (4, 16)")
def loader_of_half_a_batch() -> type:
    def half(batch: Any, step: int, micro_step: int) -> Batch:
        made = batch(step, micro_step)
        return Batch(made.token_ids[:2], made.targets[:2])

    return loader(half)


@caught_by("batches", "`targets` are torch.int32, not int64")
def loader_of_short_integers() -> type:
    def short(batch: Any, step: int, micro_step: int) -> Batch:
        made = batch(step, micro_step)
        return Batch(made.token_ids, made.targets.int())

    return loader(short)


@caught_by("batches", "are others when steps are asked for backwards")
def loader_that_goes_on_from_where_it_is() -> type:
    calls = itertools.count()
    return loader(lambda batch, step, micro_step: batch(next(calls), 0))


@caught_by("acts", "what it builds has no `order`; is it `orders`?")
def sampling_that_calls_it_orders() -> type:
    class Orders:
        def orders(self, start: int, count: int) -> Any:
            return np.arange(start, start + count)

    @component("datasampling", "broken")
    class Broken:
        """An order in which something is wrong."""

        def build(self, trainer: Any, num_windows: int, seed: int) -> Any:
            return Orders()

    return Broken


@caught_by("acts", "what it builds has no `batch`; is it `batches`?")
def loader_that_calls_it_batches() -> type:
    class Batches:
        def batches(self, step: int, micro_step: int) -> Any:
            return None

    @component("dataloader", "broken")
    class Broken:
        """A loader in which something is wrong."""

        def build(self, trainer: Any, tokens: Any, sampling: Any, context_window: int) -> Any:
            return Batches()

    return Broken
