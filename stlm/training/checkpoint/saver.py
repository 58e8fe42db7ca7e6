"""Writes checkpoints while training goes on: their tensors are copied, and a thread writes the copies."""

import warnings
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch.distributed as dist

from stlm.compiler.processes import Processes
from stlm.spec.errors import WorkError
from stlm.training.checkpoint.contents import Contents
from stlm.training.checkpoint.parts import snapshot
from stlm.training.state import TrainingState


class NotWrittenError(Exception):
    """A checkpoint could not be written, on whichever process it was; training can go on without."""


class Saver:
    """Writes one checkpoint at a time, together with the other processes, by `torch.distributed.checkpoint`.

    The threads that write have a process group of their own, so that what they send never meets what training sends.
    All processes learn the same of each checkpoint. Every method is called by all of them at the same time.
    """

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self._group = dist.new_group(backend="gloo") if processes.count > 1 else None
        self._writing: tuple[Contents, Future[Any]] | None = None

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint was begun that nobody has waited for."""
        return self._writing is not None

    def start(self, run: TrainingState) -> None:
        """Copy the state of a run and begin to write it; when this returns, the run may change.

        Raises `WorkError` where something in it cannot be stored.
        """
        import torch.distributed.checkpoint as dcp  # a second that only those spend who write

        from stlm.training.checkpoint.writer import FolderWriter

        assert self._writing is None, "one checkpoint at a time"
        taken = snapshot(run)
        state = {"step": run.step, "tokens_seen": run.tokens_seen, "held_out_loss": held_out_loss(run)}
        program, keep = run.program, run.trainer.keep_checkpoints
        contents = Contents(run.folder, program, program.tokenizer, state, taken.documents, keep)
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)  # for the thread: it is meant
        future = dcp.async_save(
            {kind: named for kind, named in taken.tensors.items() if named},
            storage_writer=FolderWriter(contents, taken.metadata),
            planner=dcp.DefaultSavePlanner(dedup_save_to_lowest_rank=True),
            process_group=self._group,
        )
        assert isinstance(future, Future)
        self._writing = contents, future

    def is_done(self) -> bool:
        """Whether a checkpoint was begun and is written, or has failed, for all processes."""
        if self._writing is None:
            return False
        return self.processes.sum([not self._writing[1].done()])[0] == 0

    def wait(self) -> Path:
        """Wait until the checkpoint that was begun stands; return its folder.

        Raises `NotWrittenError` where the disk refuses; then nothing is left of it.
        """
        assert self._writing is not None, "there is nothing to wait for"
        contents, future = self._writing
        error = future.exception()
        self._writing = None
        if error is None:
            return contents.target
        if self.processes.is_main:
            contents.discard()
        causes = [cause for cause, _ in getattr(error, "failures", {}).values()] or [error]
        for cause in causes:
            if not isinstance(cause, WorkError):
                raise cause
        raise NotWrittenError(str(causes[0])) from error

    def close(self) -> None:
        """Leave the process group."""
        if self._group is not None:
            dist.destroy_process_group(self._group)


def held_out_loss(run: TrainingState) -> float | None:
    """Return the held-out loss of this step, where it was evaluated."""
    measured_here = run.held_out.get("step") == run.step
    loss = run.held_out.get("loss") if measured_here else None
    return None if loss is None else float(loss)
