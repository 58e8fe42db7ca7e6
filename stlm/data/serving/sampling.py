"""In which order windows are trained on."""

import numpy as np
from numpy.typing import NDArray

from stlm.data.serving.permutation import Permutation
from stlm.spec.errors import WorkError
from stlm.spec.seeds import derive_seed


class ShuffledEpochs:
    """Every window once an epoch, each epoch in an order of its own.

    The order is a function of the seed and the number of the sample alone, so a run that was stopped goes on as if it
    had not been, and any number of processes sees the same samples.
    """

    def __init__(self, num_windows: int, seed: int) -> None:
        if num_windows < 1:
            raise WorkError("the training data holds no whole window; use more data or a smaller `context_window`")
        self.num_windows = num_windows
        self.seed = seed

    def order(self, start: int, count: int) -> NDArray[np.int64]:
        """Give the windows, (count,), of the samples ``start`` to ``start + count``, counted from the run's first."""
        samples = np.arange(start, start + count, dtype=np.int64)
        epochs, places = np.divmod(samples, self.num_windows)
        out = np.empty_like(places)
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1) if count else ():
            here = epochs == epoch
            shuffle = Permutation(self.num_windows, derive_seed(self.seed, "datasampling", epoch))
            out[here] = shuffle(places[here])
        return out
