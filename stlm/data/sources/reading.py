"""Reading a file: opened, decompressed, decoded, and each failure told in one line."""

import contextlib
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import attrs

from stlm.components.dataset.file_kinds import COMPRESSIONS
from stlm.data.sources.compressed import decompressed
from stlm.spec.errors import WorkError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BLOCK = 1 << 20
LONG_BYTES = 16 << 20
"""More than a row is expected to have: it is told, because a row is held in memory."""

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turn a failure to read ``file`` into one line."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise WorkError(f"cannot read `{file}`: {reason}") from error


@contextlib.contextmanager
def opened(file: Path, offset: int = 0) -> Iterator[BinaryIO]:
    """Open a file for its bytes, from ``offset`` on; of one that is compressed, for what was."""
    with readable(file), decompressed(file) if file.suffix in COMPRESSIONS else open(file, "rb") as handle:
        if handle.seekable():
            handle.seek(offset)
        else:
            while offset and (passed := len(handle.read(min(BLOCK, offset)))):
                offset -= passed
        yield handle


def tell_of_long_row(place: object, size: int) -> None:
    """Log a warning of a row of ``size`` bytes."""
    _log.warning("%s: this row has %.1f MB, and is held in memory", place, size / 1e6)


def decoded(data: bytes, file: Path, offset: int) -> str:
    """Decode what stands at ``offset`` of a file; raises `WorkError` that places the first byte that is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise not_utf8(error, file, offset) from error


def not_utf8(error: UnicodeDecodeError, file: Path, offset: int) -> WorkError:
    """Say where the first byte stands that is not UTF-8; what was decoded began at ``offset``."""
    where = offset + error.start
    return WorkError(f"`{file}` is not UTF-8: byte {error.object[error.start]:#04x} at offset {where}")


@attrs.frozen
class Line:
    """The place of a line, given by where it begins; its number is counted when it is printed, and only then."""

    file: Path
    offset: int

    def __str__(self) -> str:
        number, left = 1, self.offset
        with opened(self.file) as handle:
            while left and (block := handle.read(min(BLOCK, left))):
                number += block.count(b"\n")
                left -= len(block)
        return f"{self.file}:{number}"
