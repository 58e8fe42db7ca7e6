"""Tokens as they lie on the disk: a headerless little-endian file, looked at through windows."""

from functools import cached_property
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray


def dtype_for(vocab_size: int) -> str:
    """Name the type in which the ids of a vocabulary are stored."""
    return "uint32" if vocab_size > 65535 else "uint16"


@attrs.frozen(slots=False)
class TokenFile:
    """A file of tokens, mapped into memory rather than read; documents in order, ``eot_id`` after each."""

    path: Path
    dtype: str
    eot_id: int

    @cached_property
    def tokens(self) -> NDArray[np.unsignedinteger]:
        """All tokens, (tokens,); a view of the file."""
        stored = np.dtype(self.dtype).newbyteorder("<")
        if self.path.stat().st_size == 0:  # an empty file cannot be mapped
            return np.empty(0, dtype=stored)
        return np.memmap(self.path, dtype=stored, mode="r")

    def __len__(self) -> int:
        return self.path.stat().st_size // np.dtype(self.dtype).itemsize

    def num_windows(self, context_window: int) -> int:
        """Count the windows; a rest at the end that fills no window is in none of them."""
        return max(0, (len(self) - 1) // context_window)

    def windows(self, indices: NDArray[np.int64], context_window: int) -> NDArray[np.int64]:
        """Read windows of ``context_window + 1`` tokens: (batch,) -> (batch, context_window + 1).

        Window ``i`` begins at token ``i * context_window``, so neighbors share one token, once a target and once an
        input, and every token but the first is a target once an epoch.
        """
        starts = np.asarray(indices, dtype=np.int64)[:, None] * context_window
        read: NDArray[np.int64] = self.tokens[starts + np.arange(context_window + 1)].astype(np.int64)
        return read
