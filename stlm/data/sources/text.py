"""Documents of text files: a file is one, or several where a separator divides it."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import attrs

from stlm.data.sources.reading import BLOCK, BYTE_ORDER_MARK, decoded, not_utf8, opened
from stlm.data.sources.source import Document

LONG_BYTES = 16 << 20
PIECE_BYTES = 4 << 20
_SMALL_BYTES = 1 << 16


@attrs.frozen
class FileText:
    """A long document (`LongText`): the bytes of a file from ``start`` to ``stop``, decoded as they are read."""

    file: Path
    start: int
    stop: int | None = None

    def pieces(self) -> Iterator[str]:
        """Give the text, a few megabytes at a time."""
        offset, begun = self.start, b""
        with opened(self.file, self.start) as handle:
            while data := handle.read(self._at_once(offset + len(begun))):
                data = begun + data
                try:
                    text, length = codecs.utf_8_decode(data, "strict", False)
                except UnicodeDecodeError as error:
                    raise not_utf8(error, self.file, offset) from error
                offset, begun = offset + length, data[length:]
                yield text
        decoded(begun, self.file, offset)  # a character that ends too early

    def _at_once(self, offset: int) -> int:
        return PIECE_BYTES if self.stop is None else min(PIECE_BYTES, self.stop - offset)


@attrs.frozen
class Texts:
    """The documents of a text file that begin at or after byte ``start``, and before ``stop``.

    Without a ``separator`` the file is one, to the byte. With one, they are what `str.split` gives, without those that
    hold no visible character. A byte-order mark at the file's head is dropped. What is long is given as a `FileText`.
    """

    file: Path
    size: int
    separator: str | None = None
    start: int = 0
    stop: int | None = None

    def read(self) -> Iterator[Document]:
        """Give the documents."""
        if self.separator is None:
            yield self._whole()
            return
        with opened(self.file) as handle:
            base = _length_of_mark(handle.read(len(BYTE_ORDER_MARK)))
        for begin, data in self._divided(base, self.separator.encode("utf-8", "surrogatepass")):
            if isinstance(data, bytes):
                text = decoded(data, self.file, begin)
                if text.strip():
                    yield text
            else:
                long = FileText(self.file, begin, data)
                if any(piece.strip() for piece in long.pieces()):
                    yield long

    def document(self, raw: Document) -> Document:
        """Give what was read, which is a document already."""
        return raw

    def __str__(self) -> str:
        return str(self.file) if not self.start else f"{self.file} from byte {self.start:,}"

    def _whole(self) -> Document:
        with opened(self.file) as handle:
            data = handle.read(_SMALL_BYTES)  # most files are small, and asking for much takes longer than a little
            if len(data) == _SMALL_BYTES:
                data += handle.read(LONG_BYTES + 1 - _SMALL_BYTES)
        base = _length_of_mark(data)
        return decoded(data[base:], self.file, base) if len(data) <= LONG_BYTES else FileText(self.file, base)

    def _divided(self, base: int, separator: bytes) -> Iterator[tuple[int, bytes | int]]:
        """Give where each piece begins, and its bytes, or where it ends if it is long."""
        begin = self._first_begin(base, separator)
        with opened(self.file, begin) as handle:
            held, ended = b"", False
            while not ended and (self.stop is None or begin < self.stop):
                block = handle.read(min(max(BLOCK, len(held)), PIECE_BYTES))  # more, for what is held is searched again
                ended = not block
                *pieces, held = (held + block).split(separator)
                for piece in [*pieces, held] if ended else pieces:
                    if self.stop is not None and begin >= self.stop:
                        return
                    yield begin, piece
                    begin += len(piece) + len(separator)
                if len(held) > LONG_BYTES and not ended and (self.stop is None or begin < self.stop):
                    end, held = _end_of_piece(handle, begin + len(held), held, separator)
                    yield begin, end
                    begin = end + len(separator)

    def _first_begin(self, base: int, separator: bytes) -> int:
        """Find the first piece that begins at or after ``start``; where none does before ``stop``, give ``stop``.

        `str.split` looks from left to right, so where the separator can overlap itself, which of its occurrences
        divide the text depends on those before.
        """
        if self.start <= base or self.stop is None:
            return base
        with opened(self.file) as handle:
            offset = _certain_place(handle, base, max(base, self.start - len(separator)), separator)
            handle.seek(offset)
            data = b""
            while block := handle.read(min(BLOCK, max(0, self.stop - offset - len(data)))):
                data, searched = data + block, 0
                while (found := data.find(separator, searched)) >= 0:
                    searched = found + len(separator)
                    if offset + searched >= self.start:
                        return offset + searched
                searched = max(searched, len(data) - len(separator) + 1)
                offset, data = offset + searched, data[searched:]
        return self.stop


def occurs(separator: str, file: Path) -> bool:
    """Whether a text stands anywhere in a file, which is read as far as its first occurrence."""
    wanted, data = separator.encode("utf-8", "surrogatepass"), b""
    with opened(file) as handle:
        while block := handle.read(BLOCK):
            data = data[max(0, len(data) - len(wanted) + 1) :] + block
            if wanted in data:
                return True
    return False


def _length_of_mark(data: bytes) -> int:
    return len(BYTE_ORDER_MARK) if data.startswith(BYTE_ORDER_MARK) else 0


def _certain_place(handle: BinaryIO, base: int, place: int, separator: bytes) -> int:
    """Go back from ``place`` to where no occurrence of the separator lies astride; from there on, all is decided."""
    length = len(separator)
    reach = max(1 << 12, 4 * length)
    low = place
    window = b""
    while place > base:
        if low > base and place - length + 1 < low:
            low, reach = max(base, place - reach), reach * 2
            handle.seek(low)
            window = handle.read(place + length - low)
        found = window.find(separator, max(0, place - length + 1 - low), place + length - 1 - low)
        if found < 0:
            return place
        place = low + found
    return place


def _end_of_piece(handle: BinaryIO, offset: int, held: bytes, separator: bytes) -> tuple[int, bytes]:
    """Read on to the separator, holding little; give where it stands and what was read behind it, or the file's end."""
    tail = held[max(0, len(held) - len(separator) + 1) :]
    while block := handle.read(BLOCK):
        offset += len(block)
        tail += block
        found = tail.find(separator)
        if found >= 0:
            behind = tail[found + len(separator) :]
            return offset - len(tail) + found, behind
        tail = tail[max(0, len(tail) - len(separator) + 1) :]
    return offset, b""
