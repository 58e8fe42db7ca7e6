"""Documents of JSON lines: a line is a row, and a row becomes a document."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from stlm.data.sources.reading import BLOCK, BYTE_ORDER_MARK, LONG_BYTES, Line, decoded, opened, tell_of_long_row
from stlm.data.sources.rows import RowReader, named
from stlm.data.sources.source import Document
from stlm.spec.errors import WorkError

try:
    import orjson
except ImportError:  # it comes with `stlm[fast]`
    orjson = None  # type: ignore[assignment]

_EXACT = 2.0**63  # what is smaller is an integer to orjson too


@attrs.frozen
class JsonLines:
    """The lines of a file that begin at or after byte ``start``, and before ``stop``.

    Blank lines are no rows. A byte-order mark at the file's head is dropped.
    """

    file: Path
    reader: RowReader
    size: int
    start: int = 0
    stop: int | None = None

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Give each row's line, behind the byte at which it begins."""
        told = False
        for offset, line in self._lines():
            if not line or line.isspace():
                continue
            if len(line) > LONG_BYTES and not told:
                told = True
                tell_of_long_row(Line(self.file, offset), len(line))
            yield offset, line

    def document(self, raw: tuple[int, bytes]) -> Document:
        """Make the document of a line that was read."""
        offset, line = raw
        text = decoded(line, self.file, offset)
        place = Line(self.file, offset)
        try:
            row = _loads(text)
        except (ValueError, RecursionError) as error:
            raise WorkError(f"{place}: this line is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise WorkError(f"{place}: this line holds {named(row)}, not a JSON object")
        return self.reader.document(row, place)

    def __str__(self) -> str:
        return str(self.file) if not self.start else f"{self.file} from byte {self.start:,}"

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Read in blocks, to which the rest of their last line is added, and divide those: faster than line by line."""
        begin = self.start
        with opened(self.file, offset=max(0, begin - 1)) as handle:
            if begin:  # the line of the byte before began earlier
                begin += len(handle.readline()) - 1
            while self.stop is None or begin < self.stop:
                block = handle.read(BLOCK if self.stop is None else min(BLOCK, self.stop - begin))
                if not block:
                    return
                if not block.endswith(b"\n"):
                    block += handle.readline()
                offset = begin
                for line in block.split(b"\n"):
                    if offset == 0 and line.startswith(BYTE_ORDER_MARK):
                        yield len(BYTE_ORDER_MARK), line.removeprefix(BYTE_ORDER_MARK)
                    else:
                        yield offset, line
                    offset += len(line) + 1
                begin += len(block)


def _loads(text: str) -> Any:
    """Read JSON, by orjson where it is installed; json has the say on what that refuses (`NaN`) or cannot hold."""
    if orjson is not None:
        with contextlib.suppress(orjson.JSONDecodeError):
            row = orjson.loads(text)
            if not _may_be_rounded(row):
                return row
    return json.loads(text)


def _may_be_rounded(row: Any) -> bool:
    """Whether a row has a number that may be an integer of more than 64 bits, of which orjson makes a float.

    Lists are not looked into: nothing in them becomes text.
    """
    objects = [row] if isinstance(row, dict) else []
    for one in objects:
        for value in one.values():
            if isinstance(value, float) and abs(value) >= _EXACT:
                return True
            if isinstance(value, dict):
                objects.append(value)
    return False
