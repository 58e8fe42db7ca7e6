"""The files of a run, read as far as they can be; what cannot, or cannot be right, is passed over and noted."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stlm.data.storage import read_json
from stlm.experiments.report.sensible import LINE, is_nested, sifted, step_number

_SHOWN = 4
"""Kinds of damage that a note names of a file; the others are counted."""


def listed(folder: Path, notes: list[str]) -> list[Path]:
    """List a folder; one that is not there is empty."""
    try:
        return list(folder.iterdir())
    except (OSError, ValueError) as error:
        if not isinstance(error, FileNotFoundError) or os.path.lexists(folder):
            notes.append(f"`{folder.name}` cannot be read: {_why(error)}")
        return []


def lines(path: Path, notes: list[str]) -> Iterator[bytes]:
    """Yield the lines of a file that are not empty; none of anything but a file, for a pipe would be waited for."""
    try:
        if not path.is_file():
            notes.append(f"`{path.name}` is no file and passed over")
            return
        with path.open("rb") as file:
            yield from (line for line in file if line.strip())
    except OSError as error:
        notes.append(f"`{path.name}` cannot be read: {_why(error)}")


def text(path: Path, notes: list[str]) -> str | None:
    """Return the text of a file; None where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
    except OSError as error:
        notes.append(f"`{path.name}` cannot be read: {_why(error)}")
        return None


def parsed(line: bytes) -> Any:
    """Return what a line of JSON says; None where it is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return None if is_nested(value) else value


def step_lines(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    """Read JSON lines of steps; those that are none are counted."""
    found, damaged, wrong = [], 0, list[str]()
    for each in lines(path, notes):
        line = parsed(each)
        if isinstance(line, dict) and step_number(line.get("step")) is not None and isinstance(line.get("split"), str):
            found.append(sifted(line, LINE, wrong))
        else:
            damaged += 1
    if damaged:
        notes.append(f"`{path.name}`: {damaged} damaged line{'s' * (damaged > 1)} passed over")
    note_wrong(path.name, wrong, notes)
    return found


def of_steps(paths: Sequence[Path], ending: str, notes: list[str]) -> list[tuple[int, Path]]:
    """Return those named ``step-N.ENDING``, by N."""
    found = []
    for path in paths:
        if match := re.fullmatch(rf"step-(\d+)\.{re.escape(ending)}", path.name):
            step = step_number(int(match[1]))
            if step is None:
                notes.append(f"`{path.name}` is of no step that can be, and passed over")
            else:
                found.append((step, path))
    return sorted(found)


def documents(paths: Sequence[Path], ending: str, shape: Any, notes: list[str]) -> tuple[dict[str, Any], ...]:
    """Read the documents ``step-N.ENDING`` among some files, by N, each sifted by a shape and with its step."""
    found = []
    for step, path in of_steps(paths, ending, notes):
        document, wrong = read_json(path), list[str]()
        if isinstance(document, dict) and not is_nested(document):
            found.append({**sifted(document, shape, wrong), "step": step})
            note_wrong(path.name, wrong, notes)
        else:
            notes.append(f"`{path.name}` is damaged and passed over")
    return tuple(found)


def note_wrong(name: str, wrong: Sequence[str], notes: list[str]) -> None:
    """Note the parts of a file that cannot be right, by their paths."""
    counts = Counter(path if len(path) <= 80 else f"{path[:79]}…" for path in wrong)
    named = [f"`{path}`{f' ({times}×)' if times > 1 else ''}" for path, times in counts.most_common(_SHOWN)]
    if named:
        more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
        notes.append(f"`{name}`: passed over what cannot be right: {', '.join(named)}{more}")


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
