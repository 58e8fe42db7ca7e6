"""Reading what is compressed: gzip by Python's own library, Zstandard by `zstandard`."""

import gzip
import io
from pathlib import Path
from typing import Any, BinaryIO

_BLOCK = 1 << 18


def decompressed(file: Path) -> BinaryIO:
    """Open a file, whose name says how it is compressed, for the bytes that were."""
    if file.suffix == ".gz":
        return gzip.open(file, "rb")
    import zstandard

    return io.BufferedReader(_Zstandard(open(file, "rb"), zstandard), _BLOCK)


class _Zstandard(io.RawIOBase):
    """The frames of a file, one after the other; one that is cut short raises `EOFError`.

    The library's own reader takes the end of the file for the end of the data, wherever that is.
    """

    def __init__(self, compressed: BinaryIO, zstandard: Any) -> None:
        self._compressed, self._library = compressed, zstandard
        self._frame: Any = None
        self._ahead, self._left = b"", b""

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the next data go; 0 at the end."""
        while not self._left:
            if not self._more():
                return 0
        taken = self._left[: len(buffer)]
        self._left = self._left[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        """Close the file beneath."""
        self._compressed.close()
        super().close()

    def _more(self) -> bool:
        """Decompress a little more; false at the end of the file."""
        data = self._ahead or self._compressed.read(_BLOCK)
        self._ahead = b""
        if not data:
            if self._frame is not None:
                raise EOFError("it ends within compressed data")
            return False
        if self._frame is None:
            self._frame = self._library.ZstdDecompressor().decompressobj()
        try:
            self._left = self._frame.decompress(data)
        except self._library.ZstdError as error:
            raise OSError(f"it is not compressed by Zstandard, or damaged: {error}") from error
        if self._frame.eof:
            self._ahead, self._frame = self._frame.unused_data, None
        return True
