"""What the files in a run's folder say, as one value; what is absent or damaged is passed over, and noted."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs

from stlm.data.storage import read_json
from stlm.experiments.report.rows import Row, worst_rows
from stlm.registry.loading import load_spec
from stlm.spec import Spec, StlmError, UsageError
from stlm.training.folder import RunFolder
from stlm.training.lock import read_lock

_EVERYWHERE = SimpleNamespace(checkpoint_dir="checkpoints", eval_dir="evals")
"""Where the parts of a run are, where its spec cannot be read."""


@attrs.frozen
class Record:
    """A run as its files tell of it.

    ``train`` and ``held_out`` are the lines of `metrics.jsonl`, each step once and in order; ``evaluations`` and
    ``samples`` the documents in `evals/`, by step. ``rows`` are the worst rows of the evaluation of ``rows_step``.
    ``notes`` say what could not be read.
    """

    places: RunFolder
    name: str
    spec: Spec | None
    source: str | None
    canonical: str | None
    lock: dict[str, Any]
    train: tuple[dict[str, Any], ...]
    held_out: tuple[dict[str, Any], ...]
    evaluations: tuple[dict[str, Any], ...]
    samples: tuple[dict[str, Any], ...]
    rows: tuple[Row, ...]
    rows_step: int | None
    notes: tuple[str, ...]

    @property
    def step(self) -> int:
        """The last step that anything is known of."""
        return max((each["step"] for each in (*self.train, *self.held_out, *self.evaluations)), default=0)

    @property
    def imported(self) -> bool:
        """Whether the model comes from elsewhere, and was never trained in this folder."""
        return "imported" in self.lock

    @property
    def last_evaluation(self) -> dict[str, Any]:
        """The latest evaluation; empty where there was none."""
        return self.evaluations[-1] if self.evaluations else {}


def number(value: Any) -> float | None:
    """Take a finite number as it is, and anything else for none."""
    return value if isinstance(value, int | float) and type(value) is not bool and math.isfinite(value) else None


def read_record(folder: Path) -> Record:
    """Read a run's folder. Raises `UsageError` where it is none."""
    is_checkpoint = (folder / "state.json").is_file()
    if is_checkpoint or not any((folder / name).is_file() for name in ("spec.yaml", "lock.json", "metrics.jsonl")):
        raise UsageError(f"`{folder}` is {_no_run(folder)}")
    notes: list[str] = []
    spec = _spec(folder, notes)
    places = RunFolder(folder, _EVERYWHERE if spec is None else spec.general.paths)
    lock = read_lock(places.lock)
    if lock is None:
        notes.append(f"`lock.json` is {'damaged' if places.lock.exists() else 'not there'}")
    if not places.metrics.is_file() and "imported" not in (lock or {}):
        notes.append("`metrics.jsonl` is not there, so there are no curves")
    lines = _lines(places.metrics, notes)
    rows, rows_step = _rows(places.evals, notes)
    return Record(
        places,
        name=folder.absolute().name,
        spec=spec,
        source=_text(places.source),
        canonical=_text(places.spec),
        lock=lock or {},
        train=_by_step(line for line in lines if line.get("split") == "train"),
        held_out=_by_step(line for line in lines if line.get("split") == "val"),
        evaluations=_documents(places.evals, "json", notes),
        samples=_documents(places.evals, "samples.json", notes),
        rows=rows,
        rows_step=rows_step,
        notes=tuple(notes),
    )


def _no_run(folder: Path) -> str:
    if (folder / "state.json").is_file():
        return "a checkpoint, and the report is of a run: give the run's folder"
    return "not a run's folder" if folder.exists() else "not there"


def _spec(folder: Path, notes: list[str]) -> Spec | None:
    if not (folder / "spec.yaml").exists():
        notes.append("`spec.yaml` is not there, so nothing can be said of the network")
        return None
    try:
        return load_spec(folder / "spec.yaml")
    except StlmError as error:
        notes.append(f"`spec.yaml` cannot be read here: {' '.join(str(error).split())[:300]}")
        return None


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _lines(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    """Read JSON lines of steps; those that are none are counted."""
    if not path.is_file():
        return []
    lines, damaged = [], 0
    for text in path.read_bytes().splitlines():
        line = _parsed(text)
        if isinstance(line, dict) and type(line.get("step")) is int:
            lines.append(line)
        else:
            damaged += 1
    if damaged:
        notes.append(f"`{path.name}`: {damaged} damaged line{'s' * (damaged > 1)} passed over")
    return lines


def _parsed(text: bytes | str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _by_step(lines: Iterator[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    found = {line["step"]: line for line in lines}
    return tuple(found[step] for step in sorted(found))


def _steps(folder: Path, ending: str) -> list[tuple[int, Path]]:
    """List the files ``step-N.ENDING`` of a folder, by N."""
    named = ((re.fullmatch(rf"step-(\d+)\.{re.escape(ending)}", path.name), path) for path in folder.glob("step-*"))
    return sorted((int(match[1]), path) for match, path in named if match)


def _documents(folder: Path, ending: str, notes: list[str]) -> tuple[dict[str, Any], ...]:
    found = []
    for step, path in _steps(folder, ending):
        document = read_json(path)
        if isinstance(document, dict):
            found.append({**document, "step": step})
        else:
            notes.append(f"`{path.name}` is damaged and passed over")
    return tuple(found)


def _rows(folder: Path, notes: list[str]) -> tuple[tuple[Row, ...], int | None]:
    """Read the rows of the latest evaluation that has some."""
    for step, path in reversed(_steps(folder, "rows.jsonl")):
        with path.open("rb") as file:
            rows, damaged = worst_rows(_parsed(line) for line in file if line.strip())
        if damaged:
            notes.append(f"`{path.name}`: {damaged} row{'s' * (damaged > 1)} without likelihoods passed over")
        if rows:
            return rows, step
    return (), None
