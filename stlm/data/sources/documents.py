"""Where documents come from: sources, which give them in a fixed order and a fingerprint of what decides them."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import attrs

from stlm.spec.errors import UsageError, WorkError

SUFFIXES = (".txt", ".jsonl")


class DocumentSource(Protocol):
    """Documents of a data set."""

    def documents(self) -> Iterator[str]:
        """Give each document, in an order that is always the same."""
        ...

    def fingerprint(self) -> str:
        """Give ``sha256:…`` over the contents and the options by which they become documents."""
        ...


@attrs.frozen
class TextDocuments:
    """Documents that are already in memory."""

    texts: tuple[str, ...]

    def documents(self) -> Iterator[str]:
        """Give each text."""
        yield from self.texts

    def fingerprint(self) -> str:
        """Hash the texts and where one ends and the next begins."""
        digest = hashlib.sha256()
        for text in self.texts:
            data = text.encode()
            digest.update(b"%d\n" % len(data) + data)
        return f"sha256:{digest.hexdigest()}"


@attrs.frozen
class FileDocuments:
    """Documents in files: a `.txt` file is one, or several where ``split_on`` divides it; a `.jsonl` row is one.

    A piece between two ``split_on`` without a visible character is none. A byte-order mark at a file's head is dropped.
    """

    files: tuple[Path, ...]
    split_on: str | None = None
    text_column: str = "text"

    def documents(self) -> Iterator[str]:
        """Give the documents, file by file in the order of ``files``."""
        for file in self.files:
            yield from self._rows(file) if file.suffix == ".jsonl" else self._texts(file)

    def fingerprint(self) -> str:
        """Hash the options, and each file's kind, length and bytes; names and places do not count."""
        digest = hashlib.sha256(json.dumps([self.split_on, self.text_column]).encode())
        for file in self.files:
            with _readable(file), open(file, "rb") as handle:
                digest.update(f"\n{file.suffix} {file.stat().st_size}\n".encode())
                while block := handle.read(1 << 20):
                    digest.update(block)
        return f"sha256:{digest.hexdigest()}"

    def _texts(self, file: Path) -> Iterator[str]:
        with _readable(file):
            data = file.read_bytes()
        text = _decode(data, file, offset=0).removeprefix("\ufeff")
        if self.split_on is None:
            yield text
        else:
            yield from (piece for piece in text.split(self.split_on) if piece.strip())

    def _rows(self, file: Path) -> Iterator[str]:
        offset = 0
        with _readable(file), open(file, "rb") as handle:
            for number, data in enumerate(handle, start=1):
                line = _decode(data, file, offset)
                offset += len(data)
                if number == 1:
                    line = line.removeprefix("\ufeff")
                if line.strip():
                    yield self._text_of(line, f"{file}:{number}")

    def _text_of(self, line: str, place: str) -> str:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise WorkError(f"{place}: this line is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise WorkError(f"{place}: this line holds {_named(row)}, not a JSON object")
        if self.text_column not in row:
            there = ", ".join(f"`{column}`" for column in row) or "none"
            raise UsageError(f"{place}: no column `{self.text_column}` (set `text_column`); the columns are: {there}")
        text = row[self.text_column]
        if not isinstance(text, str):
            raise WorkError(f"{place}: column `{self.text_column}` holds {_named(text)}, not a string")
        return _without_surrogates(text)


def find_files(path: Path) -> tuple[Path, ...]:
    """Give the data files that ``path`` is or holds (at any depth, sorted by name); hidden ones do not count."""
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise UsageError(f"`{path}` is no kind of data that is read here; those are: {', '.join(SUFFIXES)}")
        return (path,)
    if not path.is_dir():
        raise UsageError(f"there is no file or folder `{path}` (looked in `{Path.cwd()}`)")
    inside = (file.relative_to(path) for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    files = sorted(file for file in inside if not any(part.startswith(".") for part in file.parts))
    if not files:
        raise UsageError(f"folder `{path}` holds no file that ends in {' or '.join(SUFFIXES)}")
    return tuple(path / file for file in files)


class _readable:  # noqa: N801 - reads as a word in `with`
    """Turn a failure to read a file into one line."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise WorkError(f"cannot read `{self.file}`: {error.strerror or error}") from error


def _decode(data: bytes, file: Path, offset: int) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        where = offset + error.start
        raise WorkError(f"`{file}` is not UTF-8: byte {data[error.start]:#04x} at offset {where}") from error


def _without_surrogates(text: str) -> str:
    """Join the halves of characters that JSON escapes may leave apart; a half alone becomes U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _named(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "an object")
