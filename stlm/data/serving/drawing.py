"""From which of several data sets each sample is drawn, and which of its windows it is."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from stlm.data.serving.blend import TokenBlend
from stlm.data.serving.permutation import Permutation
from stlm.spec.seeds import derive_seed

SMALLEST_BLOCK = 4096


class Drawing:
    """Which of several streams each sample is drawn from, by their weights.

    Samples are dealt in blocks. Of all samples up to the end of a block, each stream has its exact share, to the
    nearest whole sample, and the heaviest what remains; so a share of a millionth comes once in a million samples. The
    samples of a block are in an order drawn from the seed and the block's number. All is computed from the number of
    the sample, within one block: nothing is counted from the start of a run, and nothing grows with it.
    """

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        exact = [Fraction(weight) for weight in weights]
        self.shares = [weight / sum(exact) for weight in exact]
        self.seed = seed
        # Rounding gives each of the others at most one sample more than its share, which the heaviest must have.
        self.block = max(SMALLEST_BLOCK, len(weights) ** 2)
        self._heaviest = max(range(len(exact)), key=exact.__getitem__)
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def sources(self, start: int, count: int) -> NDArray[np.int64]:
        """Give the stream, (count,), of the samples ``start`` to ``start + count``, counted from the run's first."""
        first, last = start // self.block, max(start, start + count - 1) // self.block
        order = np.concatenate([self._order(number) for number in range(first, last + 1)])
        return order[start - first * self.block :][:count]

    def drawn(self, start: int) -> NDArray[np.int64]:
        """Count, (streams,), the samples before ``start`` that are drawn from each stream."""
        number, place = divmod(start, self.block)
        here = np.bincount(self._order(number)[:place], minlength=len(self.shares))
        return self._before(number) + here

    def _before(self, number: int) -> NDArray[np.int64]:
        """Count, (streams,), the samples of each stream in all blocks before one."""
        total = number * self.block
        counts = [(2 * total * share + 1) // 2 for share in self.shares]
        counts[self._heaviest] += total - sum(counts)
        return np.array(counts, dtype=np.int64)

    def _shuffled(self, number: int) -> NDArray[np.int64]:
        counts = self._before(number + 1) - self._before(number)
        sorted_sources = np.repeat(np.arange(len(counts)), counts)
        shuffle = Permutation(self.block, derive_seed(self.seed, "mixture", number))
        return sorted_sources[shuffle(np.arange(self.block))]


@attrs.frozen(slots=False)
class BlendedSampling:
    """The order of a blend's windows: each stream's own order, taken from as the weights say."""

    drawing: Drawing
    samplings: tuple[Any, ...]
    first_windows: NDArray[np.int64]

    def order(self, start: int, count: int) -> NDArray[np.int64]:
        """Give the windows, (count,), of the samples ``start`` to ``start + count``, counted from the run's first."""
        sources, drawn = self.drawing.sources(start, count), self.drawing.drawn(start)
        out = np.empty(count, dtype=np.int64)
        for number in np.unique(sources):
            rows = sources == number
            own = self.samplings[number].order(int(drawn[number]), int(rows.sum()))
            out[rows] = self.first_windows[number] + own
        return out


def sampling_of(tokens: Any, build: Callable[[int, int], Any], context_window: int, seed: int) -> Any:
    """Give the order in which windows of ``tokens`` are seen: ``build(num_windows, seed)``, or a blend of several."""
    if not isinstance(tokens, TokenBlend):
        return build(tokens.num_windows(context_window), seed)
    samplings = tuple(
        build(stream.num_windows(context_window), derive_seed(seed, "member", number))
        for number, stream in enumerate(tokens.streams)
    )
    return BlendedSampling(Drawing(tokens.weights, seed), samplings, tokens.first_windows(context_window))
