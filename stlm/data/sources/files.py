"""Documents in files, read in parts that depend on the files alone."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import attrs

from stlm.components.dataset.file_kinds import COMPRESSIONS, SUFFIXES
from stlm.data.sources.finding import kind_of, passed_over
from stlm.data.sources.json_lines import JsonLines
from stlm.data.sources.parquet import parquet_rows
from stlm.data.sources.reading import readable
from stlm.data.sources.rows import RowReader
from stlm.data.sources.source import Document
from stlm.data.sources.text import Texts, occurs
from stlm.data.storage import file_sha256
from stlm.spec.diagnostics import shortened

_log = logging.getLogger(__name__)
PART_BYTES = 32 << 20
_SETTLED_SECONDS = 2.0


class Stretch(Protocol):
    """Documents that lie together in a file. What is read becomes a document in a step of its own, for the skipped."""

    @property
    def size(self) -> int: ...

    def read(self) -> Iterator[Any]:
        """Read what becomes documents, one by one."""
        ...

    def document(self, raw: Any) -> Document:
        """Make a document of what was read."""
        ...


@attrs.frozen
class FilePart:
    """A part of the documents in files: a stretch of a large file, or several small files."""

    stretches: tuple[Stretch, ...]

    @property
    def size(self) -> int:
        """The bytes in it, of which those that are compressed are taken for three times as many."""
        return sum(stretch.size for stretch in self.stretches)

    def documents(self, skip: int = 0) -> Iterator[Document]:
        """Give its documents in order, without the first ``skip``, which are read but not looked into."""
        for stretch in self.stretches:
            for raw in stretch.read():
                if skip:
                    skip -= 1
                else:
                    yield stretch.document(raw)

    def __str__(self) -> str:
        first, others = str(self.stretches[0]), len(self.stretches) - 1
        return first if not others else f"{first} and {others} more"


@attrs.frozen
class FileDocuments:
    """Documents in files: a text file is one, or several where ``split_on`` divides it; a row of other files is one."""

    files: tuple[Path, ...]
    split_on: str | None = None
    rows: RowReader = attrs.field(factory=RowReader)
    part_bytes: int = PART_BYTES
    folder: Path | None = None

    @property
    def has_completions(self) -> bool:
        """Whether rows become prompts with completions."""
        return self.rows.has_completions

    @property
    def num_documents(self) -> int | None:
        """How many there are, where that is known before they are read."""
        known = self.split_on is None and all(kind_of(file) == ".txt" for file in self.files)
        return len(self.files) if known else None

    def documents(self) -> Iterator[Document]:
        """Give the documents, file by file in the order of ``files``."""
        for part in self._parts():
            yield from part.documents()

    def parts(self) -> list[FilePart]:
        """Divide large files where a document begins, and group small ones, to about ``part_bytes`` each."""
        return list(self._parts())

    def fingerprint(self) -> str:
        """Hash the options, and each file's kind, length and bytes; names and places do not count."""
        digest = hashlib.sha256(json.dumps([self.split_on, *self.rows.options()]).encode())
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as threads:
            for line in threads.map(_identity, self.files):
                digest.update(line.encode())
        return f"sha256:{digest.hexdigest()}"

    def tell(self) -> None:
        """Log what of ``folder`` is read, and a warning where a separator divides nothing."""
        if self.folder is not None:
            _log.info("%s", _told(self.folder, len(self.files)))
        texts = [file for file in self.files if kind_of(file) == ".txt"]
        if self.split_on is not None and not any(occurs(self.split_on, file) for file in texts):
            written = json.dumps(self.split_on, ensure_ascii=False)
            where = f"`{self.folder or texts[0]}`, so each text file is one document"
            _log.warning("`split_documents_on: %s` never occurs in %s", written, where)

    def _parts(self) -> Iterator[FilePart]:
        together: list[Stretch] = []
        size = 0
        for stretch in (stretch for file in self.files for stretch in self._stretches(file)):
            if together and size + stretch.size > self.part_bytes:
                yield FilePart(tuple(together))
                together, size = [], 0
            together.append(stretch)
            size += stretch.size
        if together:
            yield FilePart(tuple(together))

    def _stretches(self, file: Path) -> Iterable[Stretch]:
        kind = kind_of(file)
        if kind == ".parquet":
            return parquet_rows(file, self.rows, self.part_bytes)
        ranges = _ranges(file, self.part_bytes, whole=kind == ".txt" and self.split_on is None)
        if kind == ".txt":
            return (Texts(file, size, self.split_on, start, stop) for size, start, stop in ranges)
        return (JsonLines(file, self.rows, size, start, stop) for size, start, stop in ranges)


def _told(folder: Path, count: int) -> str:
    """Say how many files of a folder are read, and how many are not."""
    others = passed_over(folder)
    said = f"reading {count:,} file{'s' if count > 1 else ''} of `{folder}`"
    if not others:
        return f"{said}, none passed over"
    example = f"{len(others):,} passed over, such as `{shortened(str(others[0]))}`"
    return f"{said}; {example}: those are read that end in {', '.join(SUFFIXES)}"


def _ranges(file: Path, part_bytes: int, *, whole: bool) -> Iterator[tuple[int, int, int | None]]:
    """Give the size, the first byte and the end of each stretch of a file; what is compressed is one."""
    with readable(file):
        size = file.stat().st_size
    if file.suffix in COMPRESSIONS:
        yield 3 * size, 0, None
    elif whole:
        yield size, 0, None
    else:
        for start in range(0, size, part_bytes):
            stop = min(start + part_bytes, size)
            yield stop - start, start, stop


def _identity(file: Path) -> str:
    """Say what a file is: how it is read, how long it is, and the hash of its bytes."""
    with readable(file):
        about = file.stat()
        settled = time.time() - about.st_mtime > _SETTLED_SECONDS  # later changes cannot have the same time
        hashed = _sha256 if settled else _sha256.__wrapped__
        digest = hashed(file.absolute(), about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    compression = file.suffix if file.suffix in COMPRESSIONS else ""
    return f"\n{kind_of(file)}{compression} {about.st_size} {digest}"


@lru_cache(maxsize=1 << 16)
def _sha256(file: Path, size: int, modified: int, changed: int) -> str:
    return file_sha256(file)
