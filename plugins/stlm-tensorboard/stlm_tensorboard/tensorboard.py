"""The hook that a spec names: `general.hooks: [tensorboard]`."""

from pathlib import Path
from typing import Any

from stlm.registry import component, hook, not_empty, option


@component("hook", "tensorboard")
class TensorBoard:
    """Writes each line of metrics.jsonl into event files of TensorBoard, in the run's folder."""

    tensorboard_dir: str = option(
        not_empty,
        default="tensorboard",
        doc="Their folder: inside the run's where relative, else `<tensorboard_dir>/<run name>`.",
    )

    @hook
    def training_starts(self, run: Any) -> None:
        """Let a writer take part in the run: a component is frozen, and what is open for one run is no part of it."""
        from stlm_tensorboard.events import Events

        if run.processes.is_main and (run.owes_evaluation or not run.finished):
            root, folder = run.folder.root, Path(self.tensorboard_dir)
            run.plugins.register(Events(folder / root.name if folder.is_absolute() else root / folder, run.step))
