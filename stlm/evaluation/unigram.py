"""The unigram loss of the very tokens that a loss asks for, where these are not all."""

from functools import lru_cache

import attrs
import numpy as np
from numpy.typing import NDArray

from stlm.data.preparation.unigram import log_probabilities
from stlm.data.serving.blend import TokenBlend
from stlm.data.serving.tokens import TokenStream

MAX_COUNTED = 100_000_000
"""Training tokens that are counted at most, in pieces from all over the stream: in about a second."""
_PIECE = 1 << 16


@attrs.frozen
class Unigram:
    """Knows how often each token occurs in the training text; of a mixture, in the text of each data set."""

    train: TokenStream | TokenBlend
    vocab_size: int

    def nats(self, targets: NDArray[np.int64], name: str | None) -> float:
        """Return -log p summed over ``targets`` (n,), which are of the data set ``name`` where there are several."""
        stream = self.train
        if isinstance(stream, TokenBlend):
            stream = stream.streams[stream.names.index(str(name))]
        return -float(_known(stream, self.vocab_size)[targets].sum())


@lru_cache(maxsize=64)
def _known(stream: TokenStream, vocab_size: int) -> NDArray[np.float64]:
    return log_probabilities(count_tokens(stream, vocab_size))


def count_tokens(stream: TokenStream, vocab_size: int, most: int = MAX_COUNTED) -> NDArray[np.int64]:
    """Count each token, (vocab_size,), in all of a stream, or in about ``most`` tokens from all over it."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    pieces = -(-len(stream) // _PIECE)
    for piece in range(0, pieces, max(1, -(-len(stream) // most))):
        start = piece * _PIECE
        counts += np.bincount(stream.read(start, min(start + _PIECE, len(stream))), minlength=vocab_size)
    return counts
