"""Storing so that a name never stands for half a file: write beside, flush, rename."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stlm.spec.errors import WorkError


def flush_folder(folder: Path) -> None:
    """Make the renames within ``folder`` last through a power cut, on systems where a folder can be flushed."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_file(path: Path) -> None:
    """Make the content of a file that others wrote last through a power cut."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def reported_as(what: str) -> Iterator[None]:
    """Turn the operating system's errors into a `WorkError` that says ``what`` could not be done."""
    try:
        yield
    except OSError as error:
        raise WorkError(f"{what}: {error.strerror or error}") from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file that appears under its name complete, or not at all. Raises `WorkError` where the disk refuses."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with reported_as(f"cannot write {path}"):
        try:
            with beside.open("wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        flush_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
