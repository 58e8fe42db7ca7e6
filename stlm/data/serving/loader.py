"""From windows of tokens to batches, for training (any step, at once) and for held-out data (all of it, in order)."""

from collections.abc import Iterator
from typing import Protocol

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from stlm.data.serving.batch import IGNORE, Batch
from stlm.data.serving.tokens import TokenFile


class Sampling(Protocol):
    """What a `datasampling` component builds."""

    def order(self, start: int, count: int) -> NDArray[np.int64]:
        """Give the windows, (count,), of the global samples from ``start`` on."""
        ...


@attrs.frozen
class WindowLoader:
    """Batches of whole windows; which ones is a function of the step, so nothing needs to be stored to go on."""

    tokens: TokenFile
    sampling: Sampling
    context_window: int
    batch_size: int
    gradient_accumulation_steps: int

    def batch(self, step: int, micro_step: int) -> Batch:
        """Give the micro-batch of an optimizer step, both counted from 0: (batch_size, context_window)."""
        start = (step * self.gradient_accumulation_steps + micro_step) * self.batch_size
        windows = self.tokens.windows(self.sampling.order(start, self.batch_size), self.context_window)
        ids = torch.from_numpy(windows)
        return Batch(token_ids=ids[:, :-1].contiguous(), targets=ids[:, 1:].contiguous())


def iterate_windows(tokens: TokenFile, context_window: int, batch_size: int) -> Iterator[Batch]:
    """Go through ``tokens`` once, in order, so that each is a target exactly once.

    A window's first input is the token before its first target; before the very first stands an end of text, as if a
    document had just ended. The last window is padded: with end-of-text ids, whose targets are `IGNORE`.
    """
    total = len(tokens)
    num_windows = -(-total // context_window)
    for first in range(0, num_windows, batch_size):
        rows = min(batch_size, num_windows - first)
        start, stop = first * context_window, min((first + rows) * context_window, total)
        padding = rows * context_window - (stop - start)
        targets = tokens.tokens[start:stop].astype(np.int64)
        before = tokens.eot_id if start == 0 else int(tokens.tokens[start - 1])
        inputs = np.concatenate([[before], targets[:-1], np.full(padding, tokens.eot_id)]).astype(np.int64)
        targets = np.concatenate([targets, np.full(padding, IGNORE)])
        shape = (rows, context_window)
        yield Batch(torch.from_numpy(inputs).view(shape), torch.from_numpy(targets).view(shape))
