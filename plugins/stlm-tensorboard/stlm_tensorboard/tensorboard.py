"""The hook that a spec names: `general.hooks: [tensorboard]`."""

from pathlib import Path
from typing import Any

from stlm.registry import component, hook, not_empty, option, rule
from stlm.spec import UsageError


@component("hook", "tensorboard")
class TensorBoard:
    """Writes each line of metrics.jsonl into event files of TensorBoard, in the run's folder."""

    tensorboard_dir: str = option(
        not_empty,
        default="tensorboard",
        doc="Their folder: inside the run's where relative, else `<tensorboard_dir>/<run name>`.",
    )

    @rule("tensorboard_dir")
    def a_relative_folder_is_inside_the_run(tensorboard_dir: str) -> str | None:
        """A relative `tensorboard_dir` must not leave the run's folder."""
        if "\0" in tensorboard_dir:
            return "`tensorboard_dir` holds a NUL character, which no folder's name can"
        if not Path(tensorboard_dir).is_absolute() and ".." in Path(tensorboard_dir).parts:
            return (
                f"`tensorboard_dir` {tensorboard_dir} leaves the run's folder; write an absolute path for one elsewhere"
            )
        return None

    @hook
    def training_starts(self, run: Any) -> None:
        """Let a writer take part in the run: a component is frozen, and what is open for one run is no part of it."""
        from stlm_tensorboard.events import Events

        if run.processes.is_main and (run.owes_evaluation or not run.finished):
            root, folder = run.folder.root, Path(self.tensorboard_dir)
            place = folder / root.name if folder.is_absolute() else root / folder
            try:
                events = Events(place, run.step)
            except OSError as error:
                reason = f"no events can be written into `{place}`: {error.strerror or error}"
                raise UsageError(reason, key="tensorboard_dir") from None
            run.plugins.register(events)
