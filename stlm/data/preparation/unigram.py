"""How well held-out text is predicted by token frequencies alone: the first number that a model must beat."""

import math

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen
class UnigramBaseline:
    """Loss of the unigram model: ``nats_per_token``, and ``bits_per_byte`` (None where there are no bytes)."""

    nats_per_token: float
    bits_per_byte: float | None


def unigram_baseline(train: NDArray[np.int64], val: NDArray[np.int64], val_bytes: int) -> UnigramBaseline | None:
    """Score held-out tokens under p(token) = (count in train + 1) / (tokens in train + vocab_size).

    ``train`` and ``val`` count each token, (vocab_size,); ``val_bytes`` are the UTF-8 bytes of the held-out text. The
    ends of documents count as tokens, with no bytes of their own. None without held-out data.
    """
    total = int(val.sum())
    if total == 0:
        return None
    nats = -float(val.astype(np.float64) @ log_probabilities(train))
    return UnigramBaseline(nats / total, nats / math.log(2) / val_bytes if val_bytes else None)


def log_probabilities(train: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return log p(token) of each token, (vocab_size,), as `unigram_baseline` has it."""
    result: NDArray[np.float64] = np.log(train + 1.0) - math.log(int(train.sum()) + len(train))
    return result
