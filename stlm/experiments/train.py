"""From a spec to a trained run."""

import contextlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stlm.compiler import Program, compile
from stlm.data.preparation.prepare import PreparedData, prepare
from stlm.data.storage import write_file, write_json
from stlm.data.telling import PreparationProgress, log_shown
from stlm.experiments.find import checked, namesake, same_run
from stlm.experiments.run import Run
from stlm.registry.blame import blaming
from stlm.spec import Code, Spec, UsageError, mistake
from stlm.training import loop
from stlm.training.checkpoint import Checkpoint, latest_checkpoint, were_written
from stlm.training.folder import RunFolder
from stlm.training.lock import extended_lock, known_digests, make_lock, read_lock, refuse_other_data

_log = logging.getLogger(__name__)


def train(
    spec: Spec, *, resume: bool | str | Path = False, allow_changed: Sequence[str] = (), device: str | None = None
) -> Run:
    """Train a spec to its last step, or until it is interrupted (then the result says ``interrupted``).

    Each call makes a new run in a folder of its own, unless ``resume`` is true, which goes on with the latest run of
    the same digest, or the folder of the run to go on with. Keys in ``allow_changed`` may differ from that run's spec.
    """
    if spec.trainer is None:
        raise mistake(spec, "trainer", Code.MISSING_KEY, "this spec has no `trainer` section, so it cannot be trained")
    device = device or spec.general.device
    with log_shown(), contextlib.ExitStack() as held:
        program, earlier = None, _earlier(spec, resume, allow_changed)
        if earlier is None:
            program = compile(spec, device)
            earlier = namesake(spec, program.report.run_name, allow_changed) if resume is True else None
        checkpoint = None
        if earlier is not None:
            held.enter_context(earlier.held())
            checkpoint = _latest(earlier)
        if program is None or (checkpoint is not None and checkpoint.core is not None):
            program = _compiled(spec, device, checkpoint)
        spec = program.spec
        with blaming(spec, program.registry):
            if earlier is not None:
                refuse_other_data(earlier.lock, spec)
            tokenizer = program.tokenizer
            with PreparationProgress() as progress:
                data = prepare(spec, tokenizer, progress)
        folder = earlier or _created(program, data)
        if earlier is None:
            held.enter_context(folder.held())
        state = _go_on(program, folder, data, checkpoint) if earlier else _begin(program, folder, data)
        loop.train(state)
        program.model.eval()
        return Run(folder, program, _latest(folder), interrupted=state.interrupted)


def _earlier(spec: Spec, resume: bool | str | Path, allow_changed: Sequence[str]) -> RunFolder | None:
    """Return the run to go on with, as far as that is known without the network's size, which names a run."""
    if isinstance(resume, bool):
        return same_run(spec) if resume else None
    return checked(spec, Path(resume), allow_changed)


def _latest(folder: RunFolder) -> Checkpoint | None:
    return latest_checkpoint(folder.checkpoints, known_digests(read_lock(folder.lock)))


def _compiled(spec: Spec, device: str, checkpoint: Checkpoint | None) -> Program:
    """Compile for a start, or for the weights of a checkpoint: what was published may have changed since."""
    if checkpoint is None:
        return compile(spec, device)
    return compile(spec, device, trained=True, kept=checkpoint.core)


def _created(program: Program, data: PreparedData) -> RunFolder:
    """Make the folder of a new run, with what the run is in it."""
    spec = program.spec
    lock = json.dumps(make_lock(program, data), indent=2, ensure_ascii=False) + "\n"
    files = {"spec.yaml": spec.dump(), "source.yaml": spec.source_text, "lock.json": lock}
    return RunFolder.create(program.report.run_name, spec.general.paths, files)


def _begin(program: Program, folder: RunFolder, data: PreparedData) -> Any:
    """Build the state of a new run; one that cannot begin leaves no folder."""
    try:
        return _build(program, folder, data, None)
    except BaseException:
        folder.remove()
        raise


def _go_on(program: Program, folder: RunFolder, data: PreparedData, checkpoint: Checkpoint | None) -> Any:
    """Build the state of a run at its latest whole checkpoint, and store what has changed.

    A run that was stopped before its first checkpoint begins anew. Raises `UsageError` where checkpoints were written
    and none can be used: what the run has done is not thrown away.
    """
    lock = extended_lock(folder.lock, program, data)
    if checkpoint is None and (lock.get("saved") or were_written(folder.checkpoints)):
        raise UsageError(
            f"the run in {folder.root} has saved checkpoints, but none that can be used is in {folder.checkpoints}; "
            "put them back (or set `general.paths.checkpoint_dir` to where they are), or begin a new run (without "
            "`--resume`)"
        )
    state = _build(program, folder, data, checkpoint)
    if checkpoint is None and folder.metrics.exists():
        _log.warning(
            "the run in %s was stopped before its first checkpoint and begins anew; its numbers so far are kept in %s",
            folder.root,
            folder.set_metrics_aside().name,
        )
    _store(program.spec, folder, lock)
    return state


def _build(program: Program, folder: RunFolder, data: PreparedData, checkpoint: Checkpoint | None) -> Any:
    with blaming(program.spec, program.registry):
        return program.spec.trainer.build(program, folder=folder, data=data, checkpoint=checkpoint)


def _store(spec: Spec, folder: RunFolder, lock: dict[str, Any]) -> None:
    """Write what the run is; the lock comes last, for a folder that has one is a run that can go on."""
    write_file(folder.spec, spec.dump())
    write_file(folder.source, spec.source_text)
    write_json(folder.lock, lock)
