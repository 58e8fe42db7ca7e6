"""From a spec to a trained run."""

import contextlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stlm.compiler import Program, compile
from stlm.compiler.device import resolve_device, resolve_precision
from stlm.compiler.processes import Processes, main_first, of_main
from stlm.compiler.report import chosen
from stlm.data.preparation.mixture import Prepared
from stlm.data.preparation.prepare import prepare
from stlm.data.preparation.progress import PreparationProgress
from stlm.data.storage import write_file, write_json
from stlm.evaluation.passages import require_file
from stlm.experiments.find import checked, namesake, same_run
from stlm.experiments.initial import Initial, find_initial
from stlm.experiments.report import ReportAtTheEnd
from stlm.experiments.resume import (
    checkpoint_to_go_on,
    latest_of,
    refuse_no_steps,
    require_own_text,
    take_own_tokenizer,
)
from stlm.experiments.run import Run
from stlm.experiments.samples import Samples
from stlm.experiments.together import told_by_the_main
from stlm.registry import hook
from stlm.registry.blame import blaming
from stlm.registry.loading import load_spec
from stlm.spec import Code, Spec, UsageError, mistake
from stlm.spec.canonical import components_of
from stlm.training import loop
from stlm.training.checkpoint import Checkpoint
from stlm.training.folder import RunFolder
from stlm.training.lock import extended_lock, lock_named, make_lock, refuse_drift, require_lock, require_same, versions
from stlm.training.state import TrainingState
from stlm.training.wandb_run import check_trackers

_log = logging.getLogger(__name__)


def train(
    spec: Spec,
    *,
    resume: bool | str | Path = False,
    allow_changed: Sequence[str] = (),
    locked: str | Path | None = None,
    device: str | None = None,
) -> Run:
    """Train a spec to its last step, or until it is interrupted (then the result says ``interrupted``).

    Each call makes a new run in a folder of its own, unless ``resume`` is true, which goes on with the latest run of
    the same digest, or the folder of the run to go on with. Keys in ``allow_changed`` may differ from that run's spec.
    ``locked`` is the `lock.json` of a run, or its folder: what would not be the same as in that run is refused.
    """
    if not isinstance(spec, Spec):
        what = type(spec).__name__
        raise UsageError(f"`train` takes a spec, not a {what}: write `stlm.train(stlm.load_spec('my.yaml'))`")
    if spec.trainer is None:
        further = f"a spec with a `trainer` and `init_from: {resume}` trains its model further"
        message = "this spec has no `trainer` section, so it cannot be trained"
        raise mistake(spec, "trainer", Code.MISSING_KEY, message, *(() if isinstance(resume, bool) else (further,)))
    if allow_changed and resume is False:
        raise UsageError("`--allow-changed` is about the run that is gone on with: by `--resume`, or by its folder")
    if locked is not None and resume is not False:
        raise UsageError("`--locked` is about a new run, and `--resume`, or a run's folder, goes on with one")
    locked = None if locked is None else lock_named(Path(locked))
    processes, device = Processes.of_environment(), device or spec.general.device
    with told_by_the_main(processes), processes.joined(resolve_device(device)), contextlib.ExitStack() as held:
        with main_first(processes):
            _look_ahead(spec, resume)
        earlier = of_main(processes, _earlier, spec, resume, allow_changed)
        if earlier is None and resume is True:
            earlier = of_main(processes, namesake, spec, compile(spec).report.run_name, allow_changed)
        checkpoint = None
        if earlier is not None:
            of_main(processes, _hold, held, earlier)
            checkpoint = of_main(processes, checkpoint_to_go_on, earlier)
            refuse_no_steps(spec, earlier, checkpoint)
        with main_first(processes):
            initial = find_initial(spec) if checkpoint is None else None
        if locked is not None:
            _refuse_drift(locked, spec, initial, device, processes)
        kept = None if checkpoint is None else checkpoint.core
        trained = checkpoint is not None or initial is not None  # what was published may have changed since
        program = compile(spec, device, trained=trained, kept=kept, processes=processes)
        with blaming(program.spec), main_first(processes):
            data = _prepared(program, earlier, checkpoint, initial, locked)
        folder = earlier or of_main(processes, _created, program, data, initial)
        if earlier is None:
            of_main(processes, _hold, held, folder)
            state = _begin(program, folder, data)
        else:
            state = _go_on(program, folder, data, checkpoint, initial)
        interrupted = loop.train(state).interrupted
        del state  # what talks to the other processes goes before the processes part
        program.model.eval()
        return Run(folder, program, of_main(processes, latest_of, folder), interrupted=interrupted)


def _look_ahead(spec: Spec, resume: bool | str | Path) -> None:
    """Find what is not there before anything takes long: a tracker's login, a new run's data set and passages."""
    check_trackers(spec)
    if resume is False:
        with blaming(spec):
            spec.trainer.dataset.build(spec)
            require_file(spec.trainer.eval.text_modeling_eval)


def _hold(held: contextlib.ExitStack, folder: RunFolder) -> None:
    held.enter_context(folder.held())


def _earlier(spec: Spec, resume: bool | str | Path, allow_changed: Sequence[str]) -> RunFolder | None:
    """Return the run to go on with, as far as that is known without the network's size, which names a run."""
    if isinstance(resume, bool):
        return same_run(spec) if resume else None
    return checked(spec, Path(resume), allow_changed)


def _refuse_drift(lock: Path, spec: Spec, initial: Initial | None, device: str, processes: Processes) -> None:
    """Compare with a lock what is known before anything is prepared; the tokenizer is not."""
    require_lock(lock)
    with blaming(spec):
        now = {"spec": spec, "data": spec.trainer.dataset.build(spec).fingerprint()}
    where = resolve_device(device)
    now |= {"device": where.type, "processes": processes.count}
    if hasattr(spec.trainer, "precision"):
        now["precision"] = resolve_precision(spec.trainer.precision, where)
    if initial is not None:
        now["init_from"] = initial.fingerprint
    components = tuple(component for _, component in components_of(spec.sections))
    refuse_drift(lock, versions=versions(chosen(components, spec.registry)), **now)


def _prepared(
    program: Program,
    earlier: RunFolder | None,
    checkpoint: Checkpoint | None,
    initial: Initial | None,
    locked: Path | None,
) -> Prepared:
    """Give the tokens to train on; whatever may be wrong with the start is found before they are prepared."""
    spec = program.spec
    kept = None
    if earlier is not None:
        kept = require_own_text(spec, earlier)
        take_own_tokenizer(program, earlier, checkpoint)
    if initial is not None:
        initial.require_fit(spec, program.model)
        said = None if earlier is None else load_spec(earlier.spec, registry=spec.registry).trainer.init_from
        if earlier is not None and said == spec.trainer.init_from:
            named = f"what `init_from` names, {initial.folder},"
            require_same(earlier.lock, "init_from", initial.fingerprint, named, "model")
    if locked is not None:
        refuse_drift(locked, tokenizer=program.tokenizer.fingerprint)
    if initial is not None:
        initial.require_tokens(spec, program.tokenizer)
        initial.fill(spec, program.model)
        _log.info("weights from %s", initial.folder)
    if kept is not None:
        return kept
    tokenizer = program.tokenizer
    with PreparationProgress() as progress:
        return prepare(spec, tokenizer, progress)


def _created(program: Program, data: Prepared, initial: Initial | None) -> RunFolder:
    """Make the folder of a new run, with what the run is in it."""
    spec = program.spec
    lock = make_lock(program, data, None if initial is None else initial.noted)
    text = json.dumps(lock, indent=2, ensure_ascii=False) + "\n"
    files = {"spec.yaml": spec.dump(), "source.yaml": spec.source_text, "lock.json": text}
    return RunFolder.create(program.report.run_name, spec.general.paths, files)


def _begin(program: Program, folder: RunFolder, data: Prepared) -> Any:
    """Build the state of a new run; one that cannot begin leaves no folder."""
    try:
        return _build(program, folder, data, None)
    except BaseException:
        if program.processes.is_main:
            folder.remove()
        raise


def _go_on(
    program: Program, folder: RunFolder, data: Prepared, checkpoint: Checkpoint | None, initial: Initial | None
) -> Any:
    """Build the state of a run at its latest whole checkpoint, or at its start; it will store what has changed."""
    lock = extended_lock(folder.lock, program, data, None if initial is None else initial.noted)
    state = _build(program, folder, data, checkpoint)
    if not program.processes.is_main:
        return state
    if checkpoint is None and folder.metrics.exists():
        _log.warning(
            "the run in %s was stopped before its first checkpoint and begins anew; its numbers so far are kept in %s",
            folder.root,
            folder.set_metrics_aside().name,
        )
    state.plugins.register(_Record(lock))
    return state


def _build(program: Program, folder: RunFolder, data: Prepared, checkpoint: Checkpoint | None) -> Any:
    with blaming(program.spec):
        state = program.spec.trainer.build(program, folder=folder, data=data, checkpoint=checkpoint)
    for plugin in (Samples(), ReportAtTheEnd()):
        state.plugins.register(plugin)
    return state


class _Record:
    """The plugin that stores what a run that goes on is now; one that has no steps left stays as it was."""

    def __init__(self, lock: dict[str, Any]) -> None:
        self.lock = lock

    @hook(trylast=True)
    def training_starts(self, run: TrainingState) -> None:
        """Write it, once all else is ready for the first step; the lock last, for a folder with one can go on."""
        if not run.finished:
            write_file(run.folder.spec, run.spec.dump())
            write_file(run.folder.source, run.spec.source_text)
            write_json(run.folder.lock, self.lock)
