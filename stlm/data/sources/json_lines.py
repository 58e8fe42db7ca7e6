"""Documents of JSON lines: a line is a row, and a row becomes a document."""

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from stlm.data.sources.reading import BLOCK, BYTE_ORDER_MARK, Line, decoded, opened
from stlm.data.sources.rows import RowReader, named
from stlm.data.sources.source import Document
from stlm.spec.errors import WorkError

try:
    import orjson
except ImportError:  # it comes with `stlm[fast]`
    orjson = None  # type: ignore[assignment]

_log = logging.getLogger(__name__)
LONG_BYTES = 16 << 20


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
                _log.warning(
                    "%s: this row has %.1f MB, and is held in memory", Line(self.file, offset), len(line) / 1e6
                )
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
    """Read JSON, by orjson where it is installed; what that refuses (`NaN`, a number too long) json has the say on."""
    if orjson is not None:
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(text)
    return json.loads(text)
