"""How many bytes of text a token stands for, by which tokenizers can be compared."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class TokenBytes:
    """The number of UTF-8 bytes that each token stands for within a text."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.known = np.full(tokenizer.vocab_size, -1, dtype=np.int64)

    def __call__(self, ids: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the bytes of each of ``ids`` (n,); the end of a text has none."""
        for one in np.unique(ids[self.known[ids] < 0]).tolist():
            self.known[one] = 0 if one == self.tokenizer.eot_id else len(bytes_within(self.tokenizer, one))
        return self.known[ids]

    def of_counts(self, counts: NDArray[np.int64]) -> int:
        """Return the bytes of a text in which token ``i`` occurs ``counts[i]`` times, (vocab_size,)."""
        there = np.flatnonzero(counts)
        return int(counts[there] @ self(there))


def bytes_within(tokenizer: Any, token: int) -> bytes:
    """Give the bytes of a token behind another of its kind: some tokenizers drop the space at the head of a text."""
    once, twice = tokenizer.decode_bytes([token]), tokenizer.decode_bytes([token, token])
    within: bytes = twice[len(once) :]
    return within
