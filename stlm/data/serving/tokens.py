"""Tokens as they lie on the disk: headerless little-endian files, looked at through windows."""

from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from stlm.spec.errors import WorkError


def dtype_for(vocab_size: int) -> str:
    """Name the type in which the ids of a vocabulary are stored."""
    return "uint32" if vocab_size > 65535 else "uint16"


@attrs.frozen
class Shard:
    """A file of tokens, how many it holds, and whether a mask of completions lies beside it."""

    path: Path
    tokens: int
    mask: bool = False


@attrs.frozen(slots=False)
class TokenStream:
    """Shards as one stream of tokens; documents in order, ``eot_id`` after each.

    A shard is opened when it is wanted, for as long as it takes to read a window from it. So a stream of thousands
    begins at once, holds no files open and pickles; what was read a while ago is in the system's memory, not in ours.
    """

    shards: tuple[Shard, ...]
    dtype: str
    eot_id: int

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The first token of each shard, and the end of the last, (shards + 1,)."""
        return np.cumsum([0, *(shard.tokens for shard in self.shards)], dtype=np.int64)

    @property
    def has_mask(self) -> bool:
        """Whether it is known which tokens belong to completions."""
        return bool(self.shards) and all(shard.mask for shard in self.shards)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def num_windows(self, context_window: int) -> int:
        """Count the windows; a rest at the end that fills no window is in none of them."""
        return max(0, (len(self) - 1) // context_window)

    def read(self, start: int, stop: int) -> NDArray[np.int64]:
        """Read tokens, (stop - start,)."""
        out = np.empty(stop - start, dtype=np.int64)
        self._read_into(out, start, "bin")
        return out

    def read_mask(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Read whether tokens belong to a completion, (stop - start,)."""
        out = np.empty(stop - start, dtype=np.bool_)
        self._read_into(out, start, "mask")
        return out

    def windows(self, indices: NDArray[np.int64], context_window: int) -> NDArray[np.int64]:
        """Read windows of ``context_window + 1`` tokens: (batch,) -> (batch, context_window + 1).

        Window ``i`` begins at token ``i * context_window``, so neighbors share one token, once a target and once an
        input, and every token but the first is a target once an epoch.
        """
        return self._gather(indices, context_window, "bin", np.int64)

    def completion_mask(self, indices: NDArray[np.int64], context_window: int) -> NDArray[np.bool_]:
        """Read whether each token of `windows` belongs to a completion: (batch,) -> (batch, context_window + 1)."""
        return self._gather(indices, context_window, "mask", np.bool_)

    def _gather(self, indices: NDArray[np.int64], context_window: int, kind: str, dtype: Any) -> NDArray[Any]:
        out = np.empty((len(indices), context_window + 1), dtype=dtype)
        for row, index in zip(out, np.asarray(indices).tolist(), strict=True):
            self._read_into(row, index * context_window, kind)
        return out

    def _read_into(self, out: NDArray[Any], start: int, kind: str) -> None:
        """Copy what lies from ``start`` on, from as many shards as it takes."""
        shard, done = int(np.searchsorted(self.starts, start, side="right")) - 1, 0
        while done < len(out):
            inside = start + done - int(self.starts[shard])
            piece = self._read_shard(self.shards[shard], inside, len(out) - done, kind)
            out[done : done + len(piece)] = piece
            done += len(piece)
            shard += 1

    def _read_shard(self, shard: Shard, start: int, most: int, kind: str) -> NDArray[Any]:
        """Read up to ``most`` of what a shard holds from ``start`` on."""
        count = min(most, shard.tokens - start)
        if count == 0:  # a shard without tokens need not have a file
            return np.empty(0, dtype=np.uint8)
        stored = np.dtype(self.dtype).newbyteorder("<") if kind == "bin" else np.dtype(np.uint8)
        path = shard.path if kind == "bin" else shard.path.with_suffix(f".{kind}")
        read = np.fromfile(path, dtype=stored, count=count, offset=start * stored.itemsize)
        if len(read) < count:
            raise WorkError(
                f"{path} is damaged: it should hold {shard.tokens} tokens; remove its folder to prepare anew"
            )
        return read
