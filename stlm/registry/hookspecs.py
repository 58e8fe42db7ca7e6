"""The moments of a run at which plugins are called. An implementation takes those arguments that it needs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = "stlm"
hook = pluggy.HookimplMarker(PROJECT)
_spec = pluggy.HookspecMarker(PROJECT)


class Lifecycle:
    """Every hook. ``run`` is the live state of training: model, optimizer, step, folder, spec."""

    @_spec
    def program_compiled(self, program: Any) -> None:
        """Fires when a spec has been assembled, on the meta device too; nothing may be changed."""

    @_spec
    def training_starts(self, run: Any) -> None:
        """Fires once before the first step, a resumed run's too; an exception here ends the run before it has cost."""

    @_spec
    def step_ends(self, run: Any, metrics: dict[str, float]) -> None:
        """Fires after each optimizer step; add numbers of your own to ``metrics``; set ``run.stop`` to end the run."""

    @_spec
    def evaluation_starts(self, run: Any) -> None:
        """Fires before held-out data is looked at; an optimizer that averages swaps its weights in here."""

    @_spec
    def evaluation_ends(self, run: Any, results: dict[str, Any]) -> None:
        """Fires when ``results`` are complete and before they are stored; undo here what `evaluation_starts` did."""

    @_spec
    def checkpoint_starts(self, run: Any) -> None:
        """Fires before a checkpoint is written; an optimizer that averages puts in the weights to be stored."""

    @_spec
    def checkpoint_copied(self, run: Any) -> None:
        """Fires when what a checkpoint will hold has been copied, and training goes on while it is written.

        Undo here what `checkpoint_starts` did.
        """

    @_spec
    def checkpoint_saved(self, run: Any, folder: "Path") -> None:
        """Fires when a checkpoint stands under its final name, after a later step than its own or at the end.

        Files may be added beside it, not inside it. Of one that the disk refused, nothing is heard.
        """

    @_spec
    def metrics_logged(self, run: Any, record: dict[str, Any]) -> None:
        """Fires for each line of metrics.jsonl, training's and held-out's; ``record`` is that line."""

    @_spec
    def training_ends(self, run: Any) -> None:
        """Fires once after the last step, an interrupted run's too; close files and connections here."""


def moments() -> dict[str, Callable[..., None]]:
    """The moments of a run by their names."""
    return {name: moment for name, moment in vars(Lifecycle).items() if not name.startswith("_")}


def moments_of(cls: type) -> dict[str, Callable[..., None]]:
    """What a class has under `@hook`, by its names: the moments in which its objects take part."""
    acts = {name: getattr(cls, name, None) for name in dir(cls) if not name.startswith("__")}
    return {name: act for name, act in acts.items() if callable(act) and hasattr(act, f"{PROJECT}_impl")}
