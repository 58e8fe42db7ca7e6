"""The plugin that has checkpoints written: at their interval, at the end, and when the run is interrupted."""

import logging
import shutil
import time
from collections.abc import Generator
from pathlib import Path

from stlm.registry import hook
from stlm.spec.errors import WorkError
from stlm.training.checkpoint import checkpoint_folders, note_held_out
from stlm.training.checkpoint.saver import NotWrittenError, Saver, held_out_loss
from stlm.training.failures import refuse_spoiled_weights
from stlm.training.state import TrainingState

_log = logging.getLogger(__name__)


class Checkpoints:
    """Begins checkpoints, and tells the other plugins of those that stand; training goes on while they are written.

    ``begun_step`` is the step of the last one that was begun, ``good`` the folder of the last one that stands. One that
    the disk refuses is told of, and tried again at the next interval; only where it is the run's last is it an error.
    """

    saver: Saver

    def __init__(self) -> None:
        self.begun_step: int | None = None
        self.good: Path | None = None

    @hook
    def training_starts(self, run: TrainingState) -> None:
        """Take note of the checkpoint that the run goes on from, and clear away what a kill left half done."""
        self.saver = Saver(run.processes)
        self.begun_step = run.step
        self.good = self.folder_of(run) if run.step else None
        if run.processes.is_main:
            clear_away_after(run.folder.checkpoints, run.step)

    @hook(trylast=True)
    def step_ends(self, run: TrainingState) -> None:
        """Save at the interval and when the run is over, after all others have had the step."""
        is_last, interval = run.finished, run.trainer.checkpoint_interval
        next_step = run.step if is_last else min(-(-run.step // interval) * interval, run.trainer.max_iters)
        if self.saver.is_done():
            self.settle(run, next_step)
        if is_last:
            self.save_last(run)
        elif run.step == next_step:
            self.save(run)

    @hook(wrapper=True)
    def training_ends(self, run: TrainingState) -> Generator[None, None, None]:
        """Save what an interruption since the last `step_ends` would leave unsaved; others may close their files first.

        A run that failed only waits for what is being written. Whatever happens here, others still get to end: also
        where a second Ctrl-C comes while the disk is waited for.
        """
        error: BaseException | None = None
        try:
            if not run.failed:
                self.save_last(run)
                self.saver.close()
            elif self.begun_step is not None:
                self.settle(run, None)
        except BaseException as caught:
            error = caught
        try:
            yield
        except WorkError as other:
            if error is None:
                raise
            _log.warning("%s", other)
        if error is not None:
            raise error

    @hook
    def evaluation_ends(self, run: TrainingState) -> None:
        """Note the held-out loss where the checkpoint of this step stands already, for an evaluation made up for."""
        loss = held_out_loss(run)
        if run.processes.is_main and loss is not None and self.good == self.folder_of(run):
            try:
                note_held_out(self.good, loss, run.trainer.keep_checkpoints)
            except WorkError as error:
                _log.warning("%s; it is not compared with other checkpoints", error)

    def folder_of(self, run: TrainingState) -> Path:
        """Name the folder of this step's checkpoint."""
        return run.folder.checkpoints / f"step-{run.step}"

    def save(self, run: TrainingState) -> None:
        """Begin the checkpoint of this step, after the one before it stands; the others are told before and after.

        Raises `NotFiniteError` where the weights are not worth storing.
        """
        self.settle(run, run.step)
        refuse_spoiled_weights(run)
        run.hooks.checkpoint_starts(run=run)
        self.saver.start(run)
        self.begun_step = run.step
        run.hooks.checkpoint_copied(run=run)

    def save_last(self, run: TrainingState) -> None:
        """Save this step, unless that has been done, and wait. Raises `WorkError` where the disk refuses."""
        if run.step != self.begun_step:
            self.save(run)
        try:
            self.wait(run)
        except NotWrittenError as error:
            kept = f"the last good one is {self.good}" if self.good else "there is none before it"
            failed = WorkError(f"the run's last checkpoint was not written: {error}; {kept}")
            failed.told_by_main = True  # all processes have learned it
            raise failed from error

    def settle(self, run: TrainingState, next_step: int | None) -> None:
        """Wait for what is being written; where it was not, say so, and at which step the next is."""
        try:
            self.wait(run)
        except NotWrittenError as error:
            again = "" if next_step is None else f"; the run goes on, and tries again at step {next_step}"
            if run.processes.is_main:
                _log.warning("the checkpoint of step %d was not written: %s%s", self.begun_step, error, again)

    def wait(self, run: TrainingState) -> None:
        """Wait for what is being written, if anything is, and tell the others of it."""
        if self.saver.is_writing:
            self.good = self.saver.wait()
            run.hooks.checkpoint_saved(run=run, folder=self.good)


def clear_away_after(checkpoints: Path, step: int) -> None:
    """Remove what is half made, and rename what comes after a step: damaged, or it would have been gone on from."""
    for left_over in checkpoints.glob(".*.tmp"):
        shutil.rmtree(left_over, ignore_errors=True)
    for later in checkpoint_folders(checkpoints):
        if int(later.name.removeprefix("step-")) > step:
            later.rename(later.with_name(f"damaged-{later.name}-{time.time_ns()}"))
