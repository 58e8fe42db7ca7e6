"""Batches made ready before they are asked for, by a thread."""

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from stlm.data.serving.batch import Batch

AHEAD = 4
"""Micro-batches that wait, at most; one more is in the making."""


class Prefetched:
    """A loader that has the next batches ready, in the memory from which CUDA takes them.

    ``micro_steps`` are the numbers of the micro-batches that are asked for in each step, in their order. ``batch``
    gives what that of ``loader`` gives, for it is a function of the step: what was made ready for other steps than
    the one asked for is thrown away. An error in making a batch is raised where that batch is asked for. The thread
    begins with the first batch that is asked for and ends with the ``with`` block.
    """

    def __init__(self, loader: Any, micro_steps: Sequence[int], *, pinned: bool) -> None:
        self.loader = loader
        self.micro_steps = micro_steps
        self.pinned = pinned
        self._thread: _Worker | None = None

    def __enter__(self) -> "Prefetched":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def batch(self, step: int, micro_step: int) -> Batch:
        """Give the micro-batch of an optimizer step, and go on with those that follow."""
        number = step * len(self.micro_steps) + self.micro_steps.index(micro_step)
        if self._thread is None or self._thread.number != number:
            self.close()
            self._thread = _Worker(self._made(number), number)
        try:
            return self._thread.take()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the thread and forget what it made ready; wait until it is gone."""
        if self._thread is not None:
            self._thread.end()
            self._thread = None

    def _made(self, number: int) -> Iterator[Batch]:
        while True:
            step, place = divmod(number, len(self.micro_steps))
            batch = self.loader.batch(step, self.micro_steps[place])
            yield batch.pinned() if self.pinned else batch
            number += 1


class _Worker:
    """A thread that draws batches from an iterator; ``number`` is the one that is taken next."""

    def __init__(self, batches: Iterator[Batch], number: int) -> None:
        self.number = number
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(AHEAD)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, args=(batches,), name="stlm-prefetch", daemon=True)
        self._thread.start()

    def take(self) -> Batch:
        """Return the next batch, or raise what was raised in making it."""
        found = self._ready.get()
        if isinstance(found, BaseException):
            raise found
        self.number += 1
        return found

    def end(self) -> None:
        """End the thread: it may be making a batch, or waiting for room, which this makes until it is gone."""
        self._ended.set()
        while self._thread.is_alive():
            try:
                self._ready.get_nowait()
            except queue.Empty:
                self._thread.join(timeout=0.01)

    def _draw(self, batches: Iterator[Batch]) -> None:
        try:
            while not self._ended.is_set():
                self._ready.put(next(batches))
        except BaseException as error:
            self._ready.put(error)
