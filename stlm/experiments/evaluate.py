"""From a run, or a model that others published, to what it is worth."""

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from stlm.data.preparation.mixture import Prepared
from stlm.data.preparation.prepare import prepare
from stlm.data.preparation.progress import PreparationProgress
from stlm.data.telling import log_shown
from stlm.evaluation.held_out import HeldOut
from stlm.evaluation.kept import keep_results
from stlm.evaluation.passages import meant, passages_or_reason
from stlm.evaluation.read_benchmarks import read_benchmark
from stlm.evaluation.subject import Subject
from stlm.evaluation.suite import Progress, Sample, evaluate_subject
from stlm.experiments.published import is_published, load_published
from stlm.experiments.resume import own_tokens
from stlm.experiments.run import Run, load_run
from stlm.registry import load_spec, make_component
from stlm.spec import Diagnostic, Place, SpecError, StlmError, UsageError, WorkError
from stlm.spec.components import Components
from stlm.spec.reasons import reason_of
from stlm.spec.suggest import nearest_names

NUM_SAMPLES = 1000
"""Rows of a benchmark for a model without a trainer; with one, its ``eval.num_samples`` says."""
_NO_TRAINER = "the model has no trainer, so there is no data that was held out"
_NOTHING_HELD_OUT = "no data was held out, or `trainer.eval.dataset_loss_eval_iters` is 0"
_CHANGEABLE = ("trainer.eval.", "trainer.batch_size.", "trainer.precision.", "general.seed.", "general.paths.")
"""Keys of a trained run's spec that may be changed: they say how it is evaluated, not what it is."""
_MARKS = ("spec.yaml", "state.json")
"""Files by which the folder of a run, and that of a checkpoint, is known."""


class NotKeptError(WorkError):
    """A run was evaluated, with these ``results``, and could not keep them."""

    def __init__(self, results: dict[str, Any], why: WorkError) -> None:
        self.results = results
        super().__init__(f"the results are not kept in the run: {why}")


def evaluate(
    run: Run | str | Path,
    benchmarks: str | Sequence[str] | None = None,
    num_samples: int | None = None,
    sample: Sample | None = None,
    *,
    text_modeling: bool | str | None = None,
    dataset_loss: bool | None = None,
    progress: Progress | None = None,
    keep: bool = False,
) -> dict[str, Any]:
    """Evaluate a run: the named ``benchmarks`` (its spec's, unless given), text modelling and the held-out loss.

    ``run`` may also be what `load_model` takes. A single string is the name of one benchmark. ``num_samples`` rows of
    each are scored, the spec's number unless given; 0 means all. ``sample`` is given a record for each row.
    ``text_modeling`` is what `eval.text_modeling_eval` may be, or ``shipped``, or ``none``. Held-out data is measured
    where there is some, unless ``dataset_loss`` is False; where it is True and there is none, it is ``absent``.

    Returns what ``stlm eval --json`` prints: a part that did not run is not in it, and one that could not, or of which
    the model computes what is not a number, is in ``absent``, with the reason. Nothing is written, unless the run is to
    ``keep`` the results: then its folder, where it has one, has those of each part as soon as they are measured, beside
    those of the same step that are there. Raises `NotKeptError`, which has the results, where that failed.
    """
    if not isinstance(run, Run):
        run = load_model(run)
    trainer = run.spec.trainer
    names = [benchmarks] if isinstance(benchmarks, str) else benchmarks
    chosen = benchmarks_of(run) if names is None else named_benchmarks(names, run.spec.registry)
    if num_samples is None:
        num_samples = NUM_SAMPLES if trainer is None else trainer.eval.num_samples
    if num_samples < 0:
        raise UsageError(f"`num_samples` must be 0, which means all, or greater; got {num_samples}")
    if text_modeling is None:
        text_modeling = True if trainer is None else trainer.eval.text_modeling_eval
    text_modeling = meant(text_modeling)
    subject, absent = Subject.of(run.program, run.tokenizer), dict[str, str]()
    passages = passages_or_reason(text_modeling)
    held_out = None if dataset_loss is False else _held_out(run, text_modeling, absent)
    kept = _Kept(run) if keep else None
    measured = evaluate_subject(
        subject,
        held_out,
        (read_benchmark(benchmark, num_samples, run.spec.registry) for benchmark in chosen),
        sample if kept is None else partial(kept.take, sample),
        passages=passages,
        progress=progress,
        finished=None if kept is None else kept.put,
    )
    absent |= measured.pop("absent", {})
    if dataset_loss and "dataset_loss" not in measured:
        absent.setdefault("dataset_loss", _NO_TRAINER if trainer is None else _NOTHING_HELD_OUT)
    measured |= {"absent": absent} if absent else {}
    if kept is not None:
        kept.put_last(measured)
    return _heading(run) | measured


def _heading(run: Run) -> dict[str, Any]:
    return {"run": run.name, "step": run.step}


class _Kept:
    """Puts results and the rows of benchmarks into the folder of the run that they are of, where it has one.

    Rows stay here until they are stored: what could not be is tried again in the end.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rows: list[dict[str, Any]] = []
        self.file = results_of(run)

    def take(self, sample: Sample | None, record: dict[str, Any]) -> None:
        """Take the record of a row, and hand it on."""
        if self.file is not None:
            self.rows.append(record)
        if sample is not None:
            sample(record)

    def put(self, results: dict[str, Any]) -> None:
        """Store what is there by now, for what comes after may be interrupted; a failure is told once, in the end."""
        with contextlib.suppress(WorkError):
            self._store(results)

    def put_last(self, results: dict[str, Any]) -> None:
        """Store all results. Raises `NotKeptError`."""
        try:
            self._store(results)
        except WorkError as error:
            raise NotKeptError(_heading(self.run) | results, error) from error

    def _store(self, results: dict[str, Any]) -> None:
        if self.file is not None:
            keep_results(self.file, _heading(self.run) | results, self.rows)
            self.rows = [row for row in self.rows if row["benchmark"] not in results.get("benchmarks", {})]


def results_of(run: Run) -> Path | None:
    """Name the file in which a run keeps the results of its step; None for a model that is not in a run's folder."""
    checkpoint, places = run.checkpoint, run.places
    if checkpoint is None or not places.spec.is_file() or not _same(checkpoint.folder.parent, places.checkpoints):
        return None
    return places.evals / f"step-{run.step}.json"


def _same(one: Path, other: Path) -> bool:
    return one.is_dir() and other.is_dir() and one.samefile(other)


def _held_out(run: Run, text_modeling: bool | str, absent: dict[str, str]) -> HeldOut | None:
    """Take a run's held-out data; where there is some that cannot be had, it is ``absent``."""
    trainer = run.spec.trainer
    if trainer is None:
        return None
    try:
        data = prepared_data(run)
    except StlmError as error:
        absent["dataset_loss"] = reason_of(error)
        return None
    held_out = HeldOut.of(data, trainer, trainer.loss_fn.build(trainer))
    return attrs.evolve(held_out, with_text=held_out.with_text and bool(text_modeling))


def load_model(
    path: str | Path, checkpoint: str | None = None, device: str = "auto", overrides: Sequence[str] = ()
) -> Run:
    """Load whatever holds a model: a run's folder, a checkpoint, a Hugging Face folder, or a name on the hub.

    ``checkpoint`` and ``overrides`` are for runs, as in `load_run`; of the spec, only what says how a model is
    evaluated can be changed. Raises `UsageError` where there is no model.
    """
    place = _pointed_at(Path(path).expanduser())
    is_run = _is_run(place)
    if not is_run and not is_published(str(path)):
        raise UsageError(f"`{path}` {_no_model(place)}")
    if is_run:
        _require_changeable(place, overrides)
        return load_run(place, checkpoint, device, overrides)
    if checkpoint is not None:
        raise UsageError(f"`{path}` is a published model, which has no checkpoint `{checkpoint}`")
    if overrides:
        raise UsageError(f"`{path}` is a published model, which has no spec that `--set {overrides[0]}` could change")
    return load_published(str(path), device)


def _no_model(path: Path) -> str:
    """Say what a path is that holds no model, and what is near it."""
    if path.exists():
        near_it = _newest_in(path) or _around(path)
        meant = "" if near_it is None else f"; did you mean `{near_it}`?"
        return f"is neither a run's folder, nor a checkpoint, nor a folder in Hugging Face's layout{meant}"
    there = sorted(one.name for one in path.parent.iterdir() if one.is_dir()) if path.parent.is_dir() else []
    near = [f"`{path.parent / name}`" for name in nearest_names(path.name, there, most=3)]
    if near:
        return f"is not there; did you mean {' or '.join(near)}?"
    return "is not there" + ("; a model of the hub is named `owner/name`" if len(path.parts) == 1 else "")


def _is_run(folder: Path) -> bool:
    return any((folder / file).is_file() for file in _MARKS)


def _newest_in(folder: Path) -> Path | None:
    """Find the run, or the checkpoint, that was begun last of those in a folder."""
    marks = [file for mark in _MARKS for file in folder.glob(f"*/{mark}") if file.is_file()]
    return max(marks, key=lambda file: file.stat().st_mtime).parent if marks else None


def _around(path: Path) -> Path | None:
    """Find the model that a file, or a folder that is a part of it, belongs to."""
    return next((one for one in list(path.parents)[:3] if _is_run(one) or is_published(str(one))), None)


def _pointed_at(path: Path) -> Path:
    """Follow the file `latest` or `best` in a folder of checkpoints to the one that it names."""
    if path.name not in ("latest", "best") or not path.is_file():
        return path
    return path.parent / path.read_text(encoding="utf-8", errors="replace").strip()


def _require_changeable(folder: Path, overrides: Sequence[str]) -> None:
    """Refuse to change what a trained model is, and what would change nothing here; wrong keys are told first."""
    if overrides and (folder / "spec.yaml").is_file():
        load_spec(folder / "spec.yaml", overrides)
    for said in overrides:
        key = said.partition("=")[0].strip()
        if not f"{key}.".startswith(_CHANGEABLE):
            how = "`--device` says it" if key == "general.device" else "it is part of what was trained"
            raise UsageError(f"`--set {key}` cannot be changed in an evaluation: {how}")


def benchmarks_of(run: Run) -> tuple[Any, ...]:
    """Give the benchmarks of a run's spec; of a model without a trainer, those that need no network."""
    if run.spec.trainer is not None:
        chosen: tuple[Any, ...] = run.spec.trainer.eval.mcq_benchmarks
        return chosen
    registry = run.spec.registry
    here = [found for found in registry.all_of("benchmark") if getattr(found.cls, "needs_no_network", False)]
    return named_benchmarks(sorted(found.selector for found in here), registry)


def all_benchmarks(registry: Components) -> list[str]:
    """Name every benchmark of a registry; of families, which have no end of names, none."""
    return [name for name in registry.names("benchmark") if not name.endswith("*")]


def named_benchmarks(names: Sequence[str], registry: Components, said_by: str = "benchmarks") -> tuple[Any, ...]:
    """Make benchmarks by their names, each once.

    Raises `SpecError` with every name that is wrong, at its place in what ``said_by`` has said: an argument or a flag.
    """
    made: dict[str, Any] = {}
    wrong: list[Diagnostic] = []
    for name in names:
        try:
            one = make_component("benchmark", name, registry=registry)
        except SpecError as error:
            wrong += [attrs.evolve(d, place=_among(names, name, said_by)) for d in error.diagnostics]
        else:
            made[one.selector] = one
    if wrong:
        raise SpecError(wrong)
    return tuple(made.values())


def _among(names: Sequence[str], name: str, said_by: str) -> Place:
    """Say where a name stands among all, as the command line has them."""
    before = ",".join(names[: list(names).index(name)])
    column = len(f"{said_by} {before}") + bool(before) + 1
    return Place(said_by, 1, column, len(name), f"{said_by} {','.join(names)}")


def prepared_data(run: Run) -> Prepared:
    """Open the tokens that a run was trained on, where they still are what its lock says; else prepare them again."""
    prepared = own_tokens(run.places)
    if prepared is not None:
        return prepared
    with log_shown(), PreparationProgress() as progress:
        return prepare(run.spec, run.tokenizer, progress)
