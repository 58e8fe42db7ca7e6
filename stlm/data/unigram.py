"""How well held-out text is predicted by token frequencies alone: the first number that a model must beat."""

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from stlm.data.tokens import TokenFile

_BLOCK = 1 << 22


@attrs.frozen
class UnigramBaseline:
    """Loss of the unigram model: ``nats_per_token``, and ``bits_per_byte`` (None where there are no bytes)."""

    nats_per_token: float
    bits_per_byte: float | None


def unigram_baseline(train: TokenFile, val: TokenFile, vocab_size: int, val_bytes: int) -> UnigramBaseline | None:
    """Score ``val`` under p(token) = (count in train + 1) / (tokens in train + vocab_size); None without held-out data.

    ``val_bytes`` are the UTF-8 bytes of the text that ``val`` stands for; the ends of documents count as tokens, with
    no bytes of their own.
    """
    if len(val) == 0:
        return None
    log_probability = np.log(_counts(train, vocab_size) + 1.0) - math.log(len(train) + vocab_size)
    nats = -float(_counts(val, vocab_size) @ log_probability)
    return UnigramBaseline(nats / len(val), nats / math.log(2) / val_bytes if val_bytes else None)


def _counts(tokens: TokenFile, vocab_size: int) -> NDArray[np.float64]:
    counts = np.zeros(vocab_size)
    for start in range(0, len(tokens), _BLOCK):
        counts += np.bincount(tokens.tokens[start : start + _BLOCK], minlength=vocab_size)
    return counts
