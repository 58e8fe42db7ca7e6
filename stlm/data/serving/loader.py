"""From windows of tokens to batches, for training (any step, at once) and for held-out data (all of it, in order)."""

from collections.abc import Iterator
from typing import Any, Protocol

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from stlm.data.serving.batch import IGNORE, Batch
from stlm.data.serving.blend import TokenBlend
from stlm.data.serving.tokens import TokenStream


class Sampling(Protocol):
    """What a `datasampling` component builds."""

    def order(self, start: int, count: int) -> NDArray[np.int64]:
        """Give the windows, (count,), of the global samples from ``start`` on."""
        ...


@attrs.frozen
class WindowLoader:
    """Batches of whole windows; which ones is a function of the step, so nothing needs to be stored to go on.

    With ``document_masking``, batches say which tokens belong to one document. With ``completions_only``, only the
    tokens of completions are targets, where the stream tells them from prompts.
    """

    tokens: TokenStream | TokenBlend
    sampling: Sampling
    context_window: int
    batch_size: int
    gradient_accumulation_steps: int
    document_masking: bool = False
    completions_only: bool = False

    def batch(self, step: int, micro_step: int) -> Batch:
        """Give the micro-batch of an optimizer step, both counted from 0: (batch_size, context_window)."""
        number = step * self.gradient_accumulation_steps + micro_step
        order = self.sampling.order(number * self.batch_size, self.batch_size)
        windows = self.tokens.windows(order, self.context_window)
        inputs, targets = windows[:, :-1].copy(), windows[:, 1:].copy()
        if self.completions_only and self.tokens.has_mask:
            targets[~self.tokens.completion_mask(order, self.context_window)[:, 1:]] = IGNORE
        return _batch(inputs, targets, self.tokens.eot_id if self.document_masking else None)


def asked_by(trainer: Any) -> dict[str, bool]:
    """Say what a trainer asks of batches, as the options of `WindowLoader` and `iterate_windows`."""
    return {
        "document_masking": getattr(trainer, "document_masking", False),
        "completions_only": getattr(trainer, "loss_on", "all") == "completion",
    }


def iterate_windows(
    tokens: TokenStream,
    context_window: int,
    batch_size: int,
    *,
    document_masking: bool = False,
    completions_only: bool = False,
) -> Iterator[Batch]:
    """Go through ``tokens`` once, in order, so that each is a target exactly once, or not at all by the options.

    A window's first input is the token before its first target; before the very first stands an end of text, as if a
    document had just ended. The last window is padded: with end-of-text ids, whose targets are `IGNORE`.
    """
    total = len(tokens)
    num_windows = -(-total // context_window)
    for first in range(0, num_windows, batch_size):
        shape = (min(batch_size, num_windows - first), context_window)
        start, stop = first * context_window, min((first + shape[0]) * context_window, total)
        inputs = np.full(shape[0] * context_window, tokens.eot_id, dtype=np.int64)
        targets = np.full_like(inputs, IGNORE)
        read = targets[: stop - start]
        read[:] = tokens.read(start, stop)
        inputs[1 : len(read)] = read[:-1]
        if start > 0:
            inputs[0] = tokens.read(start - 1, start)[0]
        if completions_only and tokens.has_mask:
            read[~tokens.read_mask(start, stop)] = IGNORE
        yield _batch(inputs.reshape(shape), targets.reshape(shape), tokens.eot_id if document_masking else None)


def _batch(inputs: NDArray[np.int64], targets: NDArray[np.int64], eot_id: int | None) -> Batch:
    """Make a batch of arrays that it keeps; where ``eot_id`` ends documents that are kept apart, say which is which.

    An end of text is asked for by the last token of its document, and as an input it begins the next one, at position
    0, as it stands before a text in evaluation and generation. So no target is lost where documents meet.

    inputs     the  cat  end  a  dog  end        targets    cat  end  a  dog  end  …
    segments   0    0    1    1  1    2          positions  0    1    0  1    2    0
    """
    if eot_id is None:
        return Batch(torch.from_numpy(inputs), torch.from_numpy(targets))
    begins = inputs == eot_id
    begins[:, 0] = False  # the first of a window is of segment 0, whatever it is
    segments = np.cumsum(begins, axis=1, dtype=np.int64)
    places = np.arange(inputs.shape[1])
    positions = places - np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    return Batch(*(torch.from_numpy(array) for array in (inputs, targets, segments, positions)))
