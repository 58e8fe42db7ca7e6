"""The checkpoints that stand in a run's folder: found, verified, chosen, and the old ones removed."""

import logging
import math
import shutil
from collections.abc import Container
from pathlib import Path

import attrs

from stlm.data.storage import file_sha256, read_json, write_file, write_json

_log = logging.getLogger(__name__)


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
    """Return the latest checkpoint that is whole, with a warning for each later one that is not, or not there."""
    for folder in checkpoint_folders(checkpoints):
        try:
            found = read_checkpoint(folder, digests)
        except DamagedError as error:
            _log.warning("%s; the checkpoint before it is used", error)
        else:
            _warn_of_missing(checkpoints, found)
            return found
    return None


def _warn_of_missing(checkpoints: Path, used: Checkpoint) -> None:
    """Say that the step that ``latest`` names is not there, where it is not."""
    pointer = checkpoints / "latest"
    try:
        named = pointer.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return
    if not (checkpoints / named).is_dir():
        _log.warning("%s names %s, which is not there; %s is used", pointer, named, used.folder.name)


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
    measured = [c for c in found if c.held_out_loss is not None and math.isfinite(c.held_out_loss)]
    return min(measured, key=lambda c: c.held_out_loss, default=None)


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


def note_held_out(folder: Path, loss: float, keep: int) -> None:
    """Say the held-out loss of a checkpoint that was stored without one, and choose the best anew."""
    state = read_json(folder / "state.json")
    if isinstance(state, dict):
        write_json(folder / "state.json", {**state, "held_out_loss": loss})
    remove_old(folder.parent, keep)


def _said_loss(folder: Path) -> float | None:
    state = read_json(folder / "state.json")
    loss = state.get("held_out_loss") if isinstance(state, dict) else None
    return loss if isinstance(loss, float) and math.isfinite(loss) else None
