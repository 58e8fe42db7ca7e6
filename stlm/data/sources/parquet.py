"""Documents of Parquet files: a row becomes a document."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from stlm.data.sources.reading import BLOCK
from stlm.data.sources.rows import RowReader
from stlm.data.sources.source import Document
from stlm.spec.errors import WorkError

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
        number = self.before
        with _opened(self.file) as parquet:
            groups, columns = list(self.row_groups), list(self.columns)
            for batch in parquet.iter_batches(self.batch_rows, groups, columns, use_threads=False):
                for values in zip(*map(self._listed, batch.columns), strict=True):
                    number += 1
                    yield number, dict(zip(batch.schema.names, values, strict=True))

    def document(self, raw: tuple[int, dict[str, Any]]) -> Document:
        """Make the document of a row that was read."""
        number, row = raw
        return self.reader.document(row, f"{self.file}: row {number}")

    def __str__(self) -> str:
        return str(self.file) if not self.before else f"{self.file} from row {self.before + 1:,}"

    def _listed(self, column: Any) -> list[Any]:
        try:
            values: list[Any] = column.to_pylist()
        except UnicodeDecodeError as error:
            found = f"byte {error.object[error.start]:#04x}"
            raise WorkError(f"`{self.file}` holds a text that is not UTF-8: {found}") from error
        return values


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
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise WorkError(f"cannot read `{file}` as Parquet: {reason}") from error
