"""Several streams of tokens as one."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from stlm.data.serving.tokens import TokenStream

Item = TypeVar("Item")


@attrs.frozen(slots=False)
class TokenBlend:
    """The streams of several data sets as one: their windows are numbered one data set behind the other.

    ``weights`` are by what share samples are drawn from each, ``names`` are what people call them.
    """

    streams: tuple[TokenStream, ...]
    weights: tuple[float, ...]
    names: tuple[str, ...]

    @property
    def eot_id(self) -> int:
        """The id that ends a document."""
        return self.streams[0].eot_id

    @property
    def dtype(self) -> str:
        """The type in which tokens are stored."""
        return self.streams[0].dtype

    @property
    def has_mask(self) -> bool:
        """Whether any stream tells completions from prompts."""
        return any(stream.has_mask for stream in self.streams)

    def __len__(self) -> int:
        return sum(len(stream) for stream in self.streams)

    def num_windows(self, context_window: int) -> int:
        """Count the windows of all streams."""
        return sum(stream.num_windows(context_window) for stream in self.streams)

    def windows(self, indices: NDArray[np.int64], context_window: int) -> NDArray[np.int64]:
        """Read windows, each from the stream that its number falls to: (batch,) -> (batch, context_window + 1)."""
        out = np.empty((len(indices), context_window + 1), dtype=np.int64)
        for stream, rows, inside in self._dealt(indices, context_window):
            out[rows] = stream.windows(inside, context_window)
        return out

    def completion_mask(self, indices: NDArray[np.int64], context_window: int) -> NDArray[np.bool_]:
        """Tell completions from prompts; what comes from a stream of plain texts counts as a whole."""
        out = np.ones((len(indices), context_window + 1), dtype=np.bool_)
        for stream, rows, inside in self._dealt(indices, context_window):
            if stream.has_mask:
                out[rows] = stream.completion_mask(inside, context_window)
        return out

    def read(self, start: int, stop: int) -> NDArray[np.int64]:
        """Read the tokens ``start`` to ``stop`` of all streams, one behind the other."""
        parts, first = [np.empty(0, dtype=np.int64)], 0
        for stream in self.streams:
            begin, end = max(start - first, 0), min(stop - first, len(stream))
            if begin < end:
                parts.append(stream.read(begin, end).astype(np.int64))
            first += len(stream)
        return np.concatenate(parts)

    def _dealt(self, indices: NDArray[np.int64], context_window: int) -> Any:
        """Yield each stream that is asked, the rows that ask it, and their windows counted within it."""
        firsts = self.first_windows(context_window)
        asked = np.searchsorted(firsts, indices, side="right") - 1
        for number in np.unique(asked):
            rows = asked == number
            yield self.streams[number], rows, indices[rows] - firsts[number]

    def first_windows(self, context_window: int) -> NDArray[np.int64]:
        """The number of each stream's first window, (streams,)."""
        counts = [stream.num_windows(context_window) for stream in self.streams]
        return np.array([0, *itertools.accumulate(counts[:-1])], dtype=np.int64)


def interleaved(weights: Sequence[float], iterators: Sequence[Iterator[Item]]) -> Iterator[tuple[int, Item]]:
    """Yield (number of the iterator, item) from each in turn, as evenly as the weights allow, until all are exhausted.

    Of the first items at any moment, each iterator that is not exhausted has its share to within one.
    """
    waiting = dict.fromkeys(range(len(weights)), 0.0)  # how many items each has still to be given
    while waiting:
        total = sum(weights[number] for number in waiting)
        for number in waiting:
            waiting[number] += weights[number] / total
        number = max(waiting, key=waiting.__getitem__)
        try:
            item = next(iterators[number])
        except StopIteration:
            del waiting[number]
            continue
        waiting[number] -= 1.0
        yield number, item
