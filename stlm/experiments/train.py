"""From a spec to a trained run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stlm.compiler import Program, compile
from stlm.compiler.blame import blaming
from stlm.data.prepare import PreparedData, prepare
from stlm.data.storage import write_file, write_json
from stlm.experiments.find import checked, run_to_resume
from stlm.experiments.run import Run
from stlm.spec import Code, Spec, mistake
from stlm.training import loop
from stlm.training.checkpoint import Checkpoint, latest_checkpoint
from stlm.training.folder import RunFolder
from stlm.training.lock import extended_lock, make_lock
from stlm.training.progress import PreparationProgress, log_shown


def train(
    spec: Spec, *, resume: bool | str | Path = False, allow_changed: Sequence[str] = (), device: str | None = None
) -> Run:
    """Train a spec to its last step, or until it is interrupted (then the result says ``interrupted``).

    Each call makes a new run in a folder of its own, unless ``resume`` is true, which goes on with the latest run of
    the same digest, or the folder of the run to go on with. Keys in ``allow_changed`` may differ from that run's spec.
    """
    if spec.trainer is None:
        raise mistake(spec, "trainer", Code.MISSING_KEY, "this spec has no `trainer` section, so it cannot be trained")
    with log_shown():
        program = compile(spec, device or spec.general.device)
        with blaming(spec, program.registry):
            data = prepare(spec, program.tokenizer, PreparationProgress())
        if isinstance(resume, bool):
            earlier = run_to_resume(spec, program.report.run_name, allow_changed) if resume else None
        else:
            earlier = checked(spec, Path(resume), allow_changed)
        folder = earlier or RunFolder.create(program.report.run_name, spec.general.paths)
        with folder.held():
            state = _go_on(program, folder, data) if earlier else _begin(program, folder, data)
            loop.train(state)
            program.model.eval()
            return Run(folder, program, latest_checkpoint(folder.checkpoints), interrupted=state.interrupted)


def _begin(program: Program, folder: RunFolder, data: PreparedData) -> Any:
    """Build the state of a new run, and store what it is; a run that cannot begin leaves no folder."""
    try:
        state = _build(program, folder, data, None)
        _store(program.spec, folder, make_lock(program, data))
    except BaseException:
        folder.remove()
        raise
    return state


def _go_on(program: Program, folder: RunFolder, data: PreparedData) -> Any:
    """Build the state of a run at its latest whole checkpoint, and store what has changed."""
    lock = extended_lock(folder.lock, program, data)
    checkpoint = latest_checkpoint(folder.checkpoints)
    state = _build(program, folder, data, checkpoint)
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
