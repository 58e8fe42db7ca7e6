"""Documents of Parquet files: a row becomes a document."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from stlm.data.sources.reading import BLOCK, LONG_BYTES, tell_of_long_row
from stlm.data.sources.rows import RowReader
from stlm.data.sources.source import Document
from stlm.spec.errors import WorkError
from stlm.spec.reasons import reason_of

_BATCH_BYTES = 4 << 20
_BATCH_ROWS = 4096


@attrs.frozen
class ParquetRows:
    """The rows of some row groups of a file, of which only the ``columns`` that are needed are read.

    ``before`` counts the file's rows before them. At most a batch of rows is held.
    """

    file: Path
    reader: RowReader
    size: int
    columns: tuple[str, ...]
    row_groups: tuple[int, ...]
    before: int
    batch_rows: int

    def read(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Give each row behind its number, from 1."""
        number, told = self.before, False
        with _opened(self.file) as parquet:
            groups, columns = list(self.row_groups), list(self.columns)
            for batch in parquet.iter_batches(self.batch_rows, groups, columns, use_threads=False):
                names = batch.schema.names
                listed = [self._listed(*column, number) for column in zip(names, batch.columns, strict=True)]
                look = not told and batch.nbytes > LONG_BYTES
                for values in zip(*listed, strict=True):
                    number += 1
                    if look and (size := _text_bytes(values)) > LONG_BYTES:
                        tell_of_long_row(f"{self.file}: row {number}", size)
                        told, look = True, False
                    yield number, dict(zip(names, values, strict=True))

    def document(self, raw: tuple[int, dict[str, Any]]) -> Document:
        """Make the document of a row that was read."""
        number, row = raw
        return self.reader.document(row, f"{self.file}: row {number}")

    def __str__(self) -> str:
        return str(self.file) if not self.before else f"{self.file} from row {self.before + 1:,}"

    def _listed(self, name: str, column: Any, before: int) -> list[Any]:
        """Give the values of a column, whose first row has the number ``before + 1``."""
        try:
            values: list[Any] = column.to_pylist()
        except (ValueError, ArithmeticError):  # one of them is nothing that Python has
            values = [self._value(name, value, before + i) for i, value in enumerate(column, start=1)]
        return values

    def _value(self, name: str, value: Any, number: int) -> Any:
        try:
            return value.as_py()
        except UnicodeDecodeError as error:
            found = f"a text that is not UTF-8 (byte {error.object[error.start]:#04x})"
            raise WorkError(f"{self.file}: row {number}: column `{name}` holds {found}") from error
        except (ValueError, ArithmeticError) as error:
            found = f"a value of type {value.type} that cannot be read ({error})"
            raise WorkError(f"{self.file}: row {number}: column `{name}` holds {found}") from error


def parquet_rows(file: Path, reader: RowReader, part_bytes: int) -> Iterator[ParquetRows]:
    """Divide a file into groups of its row groups, of about ``part_bytes`` as they are when decompressed.

    Raises `UsageError` where a column is missing.
    """
    with _opened(file) as parquet:
        columns = tuple(reader.needed(parquet.schema_arrow.names, file))
        about = [parquet.metadata.row_group(i) for i in range(parquet.metadata.num_row_groups)]
    before = first = 0
    while first < len(about):
        last, size, rows = first, 0, 0
        while last < len(about) and (not size or size + _bytes_of(about[last], columns) <= part_bytes):
            size += _bytes_of(about[last], columns)
            rows += about[last].num_rows
            last += 1
        at_once = max(1, min(_BATCH_ROWS, _BATCH_BYTES * rows // max(size, 1)))
        yield ParquetRows(file, reader, size, columns, tuple(range(first, last)), before, at_once)
        first, before = last, before + rows


def _text_bytes(value: Any) -> int:
    """Count the bytes of the texts in a value."""
    if isinstance(value, str):
        return len(value.encode())
    inner = value.values() if isinstance(value, dict) else value
    return sum(map(_text_bytes, inner)) if isinstance(value, dict | list | tuple) else 0


def _bytes_of(row_group: Any, columns: tuple[str, ...]) -> int:
    chunks = [row_group.column(i) for i in range(row_group.num_columns)]
    paths = [(chunk.path_in_schema, chunk.total_uncompressed_size) for chunk in chunks]
    return sum(size for path, size in paths if path in columns or path.split(".")[0] in columns)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Open a Parquet file, to be read in the order of its rows and little by little."""
    import pyarrow.parquet

    try:
        # Without `pre_buffer=False`, all of a row group is fetched before its first row is there.
        with pyarrow.parquet.ParquetFile(file, buffer_size=BLOCK, pre_buffer=False) as parquet:
            yield parquet
    except (OSError, pyarrow.ArrowException) as error:
        reason = getattr(error, "strerror", None) or reason_of(error)
        raise WorkError(f"cannot read `{file}` as Parquet: {reason}") from error
