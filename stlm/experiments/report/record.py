"""What the files in a run's folder say, as one value; what is absent or damaged is passed over, and noted."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs

from stlm.experiments.report.files import documents, lines, listed, note_wrong, of_steps, parsed, step_lines, text
from stlm.experiments.report.rows import Worst, worst_rows
from stlm.experiments.report.sensible import EVALUATION, LOCK, SAMPLES, is_nested, sifted
from stlm.registry.loading import load_spec
from stlm.spec import Spec, StlmError, UsageError
from stlm.spec.components import Components
from stlm.spec.reasons import reason_of
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
    rows: tuple[Worst, ...]
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


def read_record(folder: Path, registry: Components | None = None) -> Record:
    """Read a run's folder, its spec by a registry if one is given. Raises `UsageError` where it is none."""
    is_checkpoint = (folder / "state.json").is_file()
    if is_checkpoint or not any((folder / name).is_file() for name in ("spec.yaml", "lock.json", "metrics.jsonl")):
        raise UsageError(f"`{folder}` is {_no_run(folder)}")
    notes: list[str] = []
    spec = _spec(folder, notes, registry)
    places = RunFolder(folder, _EVERYWHERE if spec is None else spec.general.paths)
    lock = _lock(places.lock, notes)
    steps = _metrics(places.metrics, notes, needed="imported" not in lock)
    evals = listed(places.evals, notes)
    rows, rows_step = _rows(evals, notes)
    return Record(
        places,
        name=folder.absolute().name,
        spec=spec,
        source=text(places.source, notes),
        canonical=text(places.spec, notes),
        lock=lock,
        train=_by_step(line for line in steps if line["split"] == "train"),
        held_out=_by_step(line for line in steps if line["split"] == "val"),
        evaluations=documents(evals, "json", EVALUATION, notes),
        samples=documents(evals, "samples.json", SAMPLES, notes),
        rows=rows,
        rows_step=rows_step,
        notes=tuple(notes),
    )


def _no_run(folder: Path) -> str:
    if (folder / "state.json").is_file():
        return "a checkpoint, and the report is of a run: give the run's folder"
    return "not a run's folder" if folder.exists() else "not there"


def _spec(folder: Path, notes: list[str], registry: Components | None) -> Spec | None:
    if not (folder / "spec.yaml").exists():
        notes.append("`spec.yaml` is not there, so nothing can be said of the network")
        return None
    try:
        return load_spec(folder / "spec.yaml", registry=registry)
    except StlmError as error:
        notes.append(f"`spec.yaml` cannot be read here: {reason_of(error)}")
        return None


def _lock(path: Path, notes: list[str]) -> dict[str, Any]:
    lock, wrong = read_lock(path), list[str]()
    if lock is None or is_nested(lock):
        notes.append(f"`lock.json` is {'damaged' if os.path.lexists(path) else 'not there'}")
        return {}
    sound: dict[str, Any] = sifted(lock, LOCK, wrong)
    note_wrong(path.name, wrong, notes)
    return sound


def _metrics(path: Path, notes: list[str], *, needed: bool) -> list[dict[str, Any]]:
    if os.path.lexists(path):
        return step_lines(path, notes)
    if needed:
        notes.append("`metrics.jsonl` is not there, so there are no curves")
    return []


def _by_step(steps: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    found = {line["step"]: line for line in steps}
    return tuple(found[step] for step in sorted(found))


def _rows(paths: Sequence[Path], notes: list[str]) -> tuple[tuple[Worst, ...], int | None]:
    """Read the rows of the latest evaluation that has some."""
    for step, path in reversed(of_steps(paths, "rows.jsonl", notes)):
        rows, damaged = worst_rows(parsed(line) for line in lines(path, notes))
        if damaged:
            notes.append(f"`{path.name}`: {damaged} row{'s' * (damaged > 1)} without likelihoods passed over")
        if rows:
            return rows, step
    return (), None
