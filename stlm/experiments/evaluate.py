"""From a run, or a model that others published, to what it is worth."""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from stlm.data.preparation.mixture import Prepared
from stlm.data.preparation.prepare import prepare
from stlm.data.telling import PreparationProgress, log_shown
from stlm.evaluation.held_out import HeldOut
from stlm.evaluation.kept import keep_results
from stlm.evaluation.passages import Passages, meant, read_passages
from stlm.evaluation.subject import Subject
from stlm.evaluation.suite import Finished, Progress, Sample, evaluate_subject
from stlm.experiments.published import is_published, load_published
from stlm.experiments.resume import own_tokens
from stlm.experiments.run import Run, load_run
from stlm.registry import load_spec, make_component
from stlm.registry.manager import installed
from stlm.spec import Diagnostic, Place, SpecError, StlmError, UsageError, WorkError
from stlm.spec.suggest import nearest_names

NUM_SAMPLES = 1000
"""Rows of a benchmark for a model without a trainer; with one, its ``eval.num_samples`` says."""
_NO_TRAINER = "the model has no trainer, so there is no data that was held out"
_NOTHING_HELD_OUT = "no data was held out, or `trainer.eval.dataset_loss_eval_iters` is 0"
_SHIPPED = "stlm_eval_"
"""How the names of the benchmarks begin that need no network: those of a model without a trainer."""
_CHANGEABLE = ("trainer.eval.", "trainer.batch_size.", "trainer.precision.", "general.seed.", "general.paths.")
"""Keys of a trained run's spec that may be changed: they say how it is evaluated, not what it is."""


def evaluate(
    run: Run | str | Path,
    benchmarks: str | Sequence[str] | None = None,
    num_samples: int | None = None,
    sample: Sample | None = None,
    *,
    text_modeling: bool | str | None = None,
    dataset_loss: bool | None = None,
    progress: Progress | None = None,
    finished: Finished | None = None,
) -> dict[str, Any]:
    """Evaluate a run: the named ``benchmarks`` (its spec's, unless given), text modelling and the held-out loss.

    ``run`` may also be what `load_model` takes. A single string is the name of one benchmark. ``num_samples`` rows of
    each are scored, the spec's number unless given; 0 means all. ``sample`` is given a record for each row.
    ``text_modeling`` is what `eval.text_modeling_eval` may be, or ``shipped``, or ``none``. Held-out data is measured
    where there is some, unless ``dataset_loss`` is False; where it is True and there is none, it is ``absent``.
    ``finished`` is given what is returned of each part as soon as it is measured.

    Returns what ``stlm eval --json`` prints: a part that did not run is not in it, and one that could not is in
    ``absent``, with the reason. Nothing is written. Raises `WorkError` where the model does not compute numbers.
    """
    if not isinstance(run, Run):
        run = load_model(run)
    trainer = run.spec.trainer
    names = [benchmarks] if isinstance(benchmarks, str) else benchmarks
    chosen = benchmarks_of(run) if names is None else named_benchmarks(names)
    if num_samples is None:
        num_samples = NUM_SAMPLES if trainer is None else trainer.eval.num_samples
    if num_samples < 0:
        raise UsageError(f"`num_samples` must be 0, which means all, or greater; got {num_samples}")
    if text_modeling is None:
        text_modeling = True if trainer is None else trainer.eval.text_modeling_eval
    text_modeling = meant(text_modeling)
    subject, absent = Subject.of(run.program, run.tokenizer), dict[str, str]()
    passages = _passages(text_modeling)
    held_out = None if dataset_loss is False else _held_out(run, text_modeling, absent)
    heading = {"run": run.name, "step": run.step}

    def part_is_there(part: dict[str, Any]) -> None:
        for name in ("text_modeling", "dataset_loss"):
            _require_numbers(f"`{name}`", part.get(name, {}))
        if finished is not None:
            finished(heading | part)

    measured = evaluate_subject(
        subject,
        held_out,
        chosen,
        num_samples,
        partial(_take, sample),
        passages=passages,
        progress=progress,
        finished=part_is_there,
    )
    absent |= measured.pop("absent", {})
    if dataset_loss and "dataset_loss" not in measured:
        absent.setdefault("dataset_loss", _NO_TRAINER if trainer is None else _NOTHING_HELD_OUT)
    return {**heading, **measured} | ({"absent": absent} if absent else {})


def _take(sample: Sample | None, record: dict[str, Any]) -> None:
    """Look at the record of a row, and hand it on."""
    likelihoods = [record["log_likelihoods"], record.get("log_likelihoods_text", [])]
    _require_numbers(f"row {record['row']} of `{record['benchmark']}`", likelihoods)
    if sample is not None:
        sample(record)


def _require_numbers(what: str, values: Any) -> None:
    """Refuse what no score can be made of, however deep it lies in mappings and lists."""
    if isinstance(values, float) and not math.isfinite(values):
        said = "what is not a number (NaN)" if math.isnan(values) else "a number that is not finite (it overflows)"
        raise WorkError(f"{what}: the model computes {said}, so it cannot be evaluated")
    inner = values.values() if isinstance(values, dict) else values if isinstance(values, list) else ()
    for value in inner:
        _require_numbers(what, value)


def _passages(asked: bool | str) -> Passages | WorkError | None:
    """Read the passages that are asked for, or find why they cannot be had now."""
    try:
        return read_passages(asked)
    except WorkError as error:
        return error


def _held_out(run: Run, text_modeling: bool | str, absent: dict[str, str]) -> HeldOut | None:
    """Take a run's held-out data; where there is some that cannot be had, it is ``absent``."""
    trainer = run.spec.trainer
    if trainer is None:
        return None
    try:
        data = prepared_data(run)
    except StlmError as error:
        absent["dataset_loss"] = " ".join(str(error).split())
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
    is_run = any((place / file).is_file() for file in ("state.json", "spec.yaml"))
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
    """Say what a path is that holds no model, or what is near it."""
    if path.exists():
        return "is neither a run's folder, nor a checkpoint, nor a folder in Hugging Face's layout"
    there = sorted(one.name for one in path.parent.iterdir() if one.is_dir()) if path.parent.is_dir() else []
    near = [f"`{path.parent / name}`" for name in nearest_names(path.name, there, most=3)]
    if near:
        return f"is not there; did you mean {' or '.join(near)}?"
    return "is not there" + ("; a model of the hub is named `owner/name`" if len(path.parts) == 1 else "")


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
    return named_benchmarks([name for name in all_benchmarks() if name.startswith(_SHIPPED)])


def all_benchmarks() -> list[str]:
    """Name every benchmark that is installed; of families, which have no end of names, none."""
    return [name for name in installed().names("benchmark") if not name.endswith("*")]


def named_benchmarks(names: Sequence[str], said_by: str = "benchmarks") -> tuple[Any, ...]:
    """Make benchmarks by their names, each once.

    Raises `SpecError` with every name that is wrong, at its place in what ``said_by`` has said: an argument or a flag.
    """
    made: dict[str, Any] = {}
    wrong: list[Diagnostic] = []
    for name in names:
        try:
            one = make_component("benchmark", name)
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


def keep(run: Run, results: dict[str, Any], rows: Iterable[dict[str, Any]] = ()) -> None:
    """Put results and the rows of benchmarks into the folder of the run that they are of, where it has one.

    Results of the same step that are there stay (`stlm.evaluation.kept`). Raises `WorkError`.
    """
    checkpoint, places = run.checkpoint, run.places
    if checkpoint is not None and places.spec.is_file() and _same(checkpoint.folder.parent, places.checkpoints):
        keep_results(places.evals / f"step-{run.step}.json", results, rows)


def _same(one: Path, other: Path) -> bool:
    return one.is_dir() and other.is_dir() and one.samefile(other)


def prepared_data(run: Run) -> Prepared:
    """Open the tokens that a run was trained on, where they still are what its lock says; else prepare them again."""
    prepared = own_tokens(run.places)
    if prepared is not None:
        return prepared
    with log_shown(), PreparationProgress() as progress:
        return prepare(run.spec, run.tokenizer, progress)
