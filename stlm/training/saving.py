"""The plugin that writes checkpoints: at their interval, at the end, and when the run is interrupted."""

import shutil
import time
from typing import Any

from stlm.registry import hook
from stlm.training.checkpoint import checkpoint_folders, remove_old, save_checkpoint
from stlm.training.lock import note_saved
from stlm.training.state import TrainingState


class Checkpoints:
    """Writes checkpoints and removes old ones; ``saved_step`` is the step of the last one."""

    def __init__(self) -> None:
        self.saved_step: int | None = None

    @hook
    def training_starts(self, run: TrainingState) -> None:
        """Take note of the checkpoint that the run goes on from, and clear away what a kill left half done."""
        self.saved_step = run.step
        for left_over in run.folder.checkpoints.glob(".*.tmp"):
            shutil.rmtree(left_over, ignore_errors=True)
        for later in checkpoint_folders(run.folder.checkpoints):
            if int(later.name.removeprefix("step-")) > run.step:  # damaged, or it would have been gone on from
                later.rename(later.with_name(f"damaged-{later.name}-{time.time_ns()}"))

    @hook(trylast=True)
    def step_ends(self, run: TrainingState) -> None:
        """Save at the interval and when the run is over, after all others have had the step."""
        if run.finished or run.step % run.trainer.checkpoint_interval == 0:
            self.save(run)

    @hook(tryfirst=True)
    def training_ends(self, run: TrainingState) -> None:
        """Save what an interruption between the last `step_ends` and now would leave unsaved."""
        if not run.failed and run.step != self.saved_step:
            self.save(run)

    def save(self, run: TrainingState) -> None:
        """Write the checkpoint of this step; the other plugins are told before and after."""
        run.hooks.checkpoint_starts(run=run)
        folder: Any = save_checkpoint(run)
        self.saved_step = run.step
        note_saved(run.folder.lock)
        remove_old(run.folder.checkpoints, run.trainer.keep_checkpoints)
        run.hooks.checkpoint_saved(run=run, folder=folder)
