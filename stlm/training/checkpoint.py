"""Checkpoints: all that is needed to go on as if nothing had happened, in safetensors and JSON.

``checkpoints/step-N/`` holds ``model.safetensors``, ``optimizer.safetensors`` with ``optimizer.json``, ``tokenizer/``,
``core/`` (what the core's `build` read, of one that reads files), ``spec.yaml`` and ``state.json``, which also has the
size and hash of every other file. A folder appears under its name complete, or not at all; one that was damaged later
is noticed by its hashes, and the one before it is used.
"""

import importlib.metadata
import logging
import shutil
from collections.abc import Container
from pathlib import Path
from typing import Any

import attrs
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from stlm.data.storage import file_sha256, new_folder, read_json, write_file, write_json
from stlm.spec.errors import WorkError
from stlm.training.flatten import flatten, named_optimizer_state, numbered_optimizer_state, unflatten
from stlm.training.folder import RunFolder
from stlm.training.state import TrainingState
from stlm.training.weights import load_weights, save_tensors, save_weights

_log = logging.getLogger(__name__)
FORMAT = 1


class DamagedError(Exception):
    """A checkpoint is not what was written."""


@attrs.frozen
class Checkpoint:
    """One whole checkpoint, and what its ``state.json`` says; ``run_folder`` is where the run's folder was then."""

    folder: Path
    step: int
    tokens_seen: int
    run_folder: Path
    held_out_loss: float | None = None

    @property
    def tokenizer(self) -> Path:
        """The folder of the tokenizer's files."""
        return self.folder / "tokenizer"

    @property
    def core(self) -> Path | None:
        """The folder of what the core's `build` read; None where it read nothing."""
        folder = self.folder / "core"
        return folder if folder.is_dir() else None


def save_checkpoint(run: TrainingState) -> Path:
    """Write the checkpoint of the run's step, make it the latest, and return its folder."""
    state = {"step": run.step, "tokens_seen": run.tokens_seen, "held_out_loss": _held_out_loss(run)}
    try:
        optimizer = named_optimizer_state(run.optimizer.state_dict(), parameter_names(run))
        return write_checkpoint(run.folder, run.program, state, optimizer, tokenizer=run.program.tokenizer)
    except TypeError as error:
        name = run.trainer.optimizer.selector
        raise WorkError(f"the state of optimizer `{name}` cannot be stored: {error}") from error


def write_checkpoint(
    run_folder: RunFolder,
    program: Any,
    state: dict[str, Any],
    optimizer: dict[str, Any] | None = None,
    *,
    tokenizer: Any,
) -> Path:
    """Write a program's weights and spec under ``state["step"]``, with the tokenizer and optimizer's state if any.

    Raises `TypeError` where the optimizer's state holds what cannot be stored.
    """
    target = run_folder.checkpoints / f"step-{state['step']}"
    with new_folder(target) as folder:
        save_weights(program.model, folder / "model.safetensors")
        if optimizer is not None:
            tensors: dict[str, Any] = {}
            write_json(folder / "optimizer.json", flatten(optimizer, "optimizer", tensors))
            save_tensors(tensors, folder / "optimizer.safetensors")
        if tokenizer is not None:
            (folder / "tokenizer").mkdir()
            tokenizer.save(folder / "tokenizer")
        keep = getattr(getattr(program.model, "core", None), "keep", None)
        if keep is not None:
            (folder / "core").mkdir()
            keep(folder / "core")
        write_file(folder / "spec.yaml", program.spec.dump())
        about = {
            "format": FORMAT,
            "stlm": importlib.metadata.version("stlm"),
            "digest": program.spec.digest,
            "run": str(run_folder.root.absolute()),
        }
        write_json(folder / "state.json", {**about, **state, "files": _manifest(folder)})
    write_file(run_folder.checkpoints / "latest", target.name + "\n")
    return target


def _held_out_loss(run: TrainingState) -> float | None:
    measured_here = run.held_out.get("step") == run.step
    loss = run.held_out.get("loss") if measured_here else None
    return None if loss is None else float(loss)


def _manifest(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "sha256": file_sha256(p)} for p in files}


def parameter_names(run: TrainingState) -> list[str]:
    """Name each parameter in the order of the optimizer's groups."""
    names = {id(parameter): name for name, parameter in run.model.named_parameters()}
    return [names[id(p)] for group in run.optimizer.param_groups for p in group["params"]]


def read_checkpoint(folder: Path, digests: Container[str] | None = None) -> Checkpoint:
    """Read and verify a checkpoint. Raises `DamagedError` where anything is not as it was written.

    With ``digests``, a checkpoint of a spec with another digest is of another run, which is no better.
    """
    try:
        state = read_json(folder / "state.json")
        if state is None:
            raise DamagedError(f"{folder / 'state.json'} cannot be read")
        if type(state["step"]) is not int or type(state["tokens_seen"]) is not int:
            raise DamagedError(f"{folder / 'state.json'} holds no number of steps or tokens")
        if folder.name.startswith("step-") and folder.name != f"step-{state['step']}":
            raise DamagedError(f"{folder} is the checkpoint of step {state['step']} under another name")
        if digests is not None and state["digest"] not in digests:
            raise DamagedError(f"{folder} is of another run, in {state['run']}")
        for name, said in state["files"].items():
            path = folder / name
            if path.stat().st_size != said["bytes"] or file_sha256(path) != said["sha256"]:
                raise DamagedError(f"{path} is not what was written")
        return Checkpoint(folder, state["step"], state["tokens_seen"], Path(state["run"]), state.get("held_out_loss"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"{folder} cannot be read: {type(error).__name__}: {error}") from error


def checkpoint_folders(checkpoints: Path) -> list[Path]:
    """List the folders of a run's checkpoints, the latest first; nothing is read."""
    numbered = [(p.name.removeprefix("step-"), p) for p in checkpoints.glob("step-*") if p.is_dir()]
    return [p for _, p in sorted(((int(n), p) for n, p in numbered if n.isdecimal()), reverse=True)]


def latest_checkpoint(checkpoints: Path, digests: Container[str] | None = None) -> Checkpoint | None:
    """Return the latest checkpoint that is whole, with a warning for each later one that is not."""
    for folder in checkpoint_folders(checkpoints):
        try:
            return read_checkpoint(folder, digests)
        except DamagedError as error:
            _log.warning("%s; the checkpoint before it is used", error)
    return None


def were_written(checkpoints: Path) -> bool:
    """Whether there are traces of checkpoints, whole or not."""
    traces = (path for path in checkpoints.glob("*step-*") if not path.name.startswith("."))  # not one half-made
    return any(traces) or (checkpoints / "latest").exists()


def best_checkpoint(checkpoints: Path, digests: Container[str] | None = None) -> Checkpoint | None:
    """Return the whole checkpoint with the lowest held-out loss of those that have one; the latest of equals."""
    found: list[Checkpoint] = []
    for folder in checkpoint_folders(checkpoints):
        try:
            found.append(read_checkpoint(folder, digests))
        except DamagedError as error:
            _log.warning("%s; it is passed over", error)
    measured = [c for c in found if c.held_out_loss is not None]
    return min(measured, key=lambda c: c.held_out_loss, default=None)


def restore_model(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Load the weights. Raises `WorkError` where they are not those of this model."""
    try:
        load_weights(model, checkpoint.folder / "model.safetensors")
    except (ValueError, OSError, SafetensorError) as error:
        raise WorkError(f"the weights cannot be loaded: {error}") from error


def restore(run: TrainingState, checkpoint: Checkpoint) -> None:
    """Set model, optimizer, step and tokens to what they were."""
    restore_model(run.model, checkpoint)
    try:
        skeleton = read_json(checkpoint.folder / "optimizer.json")
        state = unflatten(skeleton, load_file(checkpoint.folder / "optimizer.safetensors"))
        run.optimizer.load_state_dict(numbered_optimizer_state(state, parameter_names(run)))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise WorkError(f"the optimizer's state in {checkpoint.folder} cannot be loaded: {error}") from error
    run.step, run.tokens_seen = checkpoint.step, checkpoint.tokens_seen


def remove_old(checkpoints: Path, keep: int) -> None:
    """Remove all but the latest ``keep`` checkpoints and the best by held-out loss, whose name is kept in ``best``.

    The best is chosen by what each ``state.json`` says; no weights are read.
    """
    folders = checkpoint_folders(checkpoints)
    losses = {folder: _said_loss(folder) for folder in folders}
    measured = [folder for folder in folders if losses[folder] is not None]
    best = min(measured, key=lambda folder: losses[folder] or 0.0, default=None)
    if best is not None:
        write_file(checkpoints / "best", best.name + "\n")
    for folder in folders[keep:]:
        if folder != best:
            shutil.rmtree(folder, ignore_errors=True)


def _said_loss(folder: Path) -> float | None:
    state = read_json(folder / "state.json")
    loss = state.get("held_out_loss") if isinstance(state, dict) else None
    return loss if isinstance(loss, float) else None
