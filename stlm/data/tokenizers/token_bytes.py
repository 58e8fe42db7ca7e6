"""How many bytes of text a token stands for, by which tokenizers can be compared."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class TokenBytes:
    """The number of UTF-8 bytes that each token stands for within a text, and at its head.

    They differ for tokenizers that put a blank before every text and drop it again: their first token stands for a byte
    less than elsewhere, so that the bytes of a text's tokens are those of the text.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.within, self.at_head = np.full((2, tokenizer.vocab_size), -1, dtype=np.int64)

    def __call__(self, ids: NDArray[np.integer], before: NDArray[np.integer] | None = None) -> NDArray[np.int64]:
        """Return the bytes of each of ``ids`` (n,); the end of a text has none.

        What follows an end of text in ``before``, (n,), is the head of a text; without it there are no heads.
        """
        self._look_up(ids)
        if before is None:
            return self.within[ids]
        return np.where(before == self.tokenizer.eot_id, self.at_head[ids], self.within[ids])

    def of_counts(self, counts: NDArray[np.int64]) -> int:
        """Return the bytes of whole texts in which token ``i`` occurs ``counts[i]`` times, (vocab_size,).

        Each has an end, and of each as much is dropped at its head as of any of its tokens.
        """
        there = np.flatnonzero(counts)
        dropped = int((self(there) - self.at_head[there]).max(initial=0))
        return max(0, int(counts[there] @ self.within[there]) - dropped * int(counts[self.tokenizer.eot_id]))

    def _look_up(self, ids: NDArray[np.integer]) -> None:
        for one in np.unique(ids[self.within[ids] < 0]).tolist():
            is_text = one != self.tokenizer.eot_id
            self.within[one] = len(bytes_within(self.tokenizer, one)) if is_text else 0
            self.at_head[one] = len(self.tokenizer.decode_bytes([one])) if is_text else 0


def bytes_within(tokenizer: Any, token: int) -> bytes:
    """Give the bytes of a token behind another of its kind: some tokenizers drop the space at the head of a text."""
    once, twice = tokenizer.decode_bytes([token]), tokenizer.decode_bytes([token, token])
    within: bytes = twice[len(once) :]
    return within
