"""The plugin that tells a person how a run is getting on: a live bar on a terminal, plain lines elsewhere."""

import contextlib
import os
import sys
import time
from typing import Any

from stlm.registry import hook
from stlm.training.state import TrainingState


def is_live(stream: Any) -> bool:
    """Whether ``stream`` is a terminal on which something may move; a CI system's is not."""
    return bool(stream.isatty()) and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


class Progress:
    """Prints to stderr: where the run is, each line of its metrics, and, on a terminal, a bar.

    Colors go away where ``NO_COLOR`` is set. A stream that was closed on us is no reason to lose a run.
    """

    def __init__(self) -> None:
        self.bar: Any = None
        self.task: Any = None

    @hook
    def training_starts(self, run: TrainingState) -> None:
        """Say what starts, or goes on, and where."""
        parameters = run.program.report.parameters.total
        number_format = "fp32" if run.autocast_dtype is None else "bf16"
        start = f"goes on after step {run.step} of" if run.step else "takes"
        self.say(f"{run.folder.root}: {parameters:,} parameters on {run.device}, {number_format}")
        self.say(f"training {start} {run.trainer.max_iters} steps")
        if is_live(sys.stderr):
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn())
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self.task = self.bar.add_task("training", total=run.trainer.max_iters, completed=run.step, loss="")
            self.bar.start()

    @hook
    def step_ends(self, run: TrainingState, metrics: dict[str, float]) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.update(self.task, completed=run.step, loss=f"loss {metrics['loss']:.4f}")

    @hook
    def metrics_logged(self, run: TrainingState, record: dict[str, Any]) -> None:
        """Print a line of the metrics."""
        self.say(describe(record, run.trainer.max_iters))

    @hook
    def training_ends(self, run: TrainingState) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar, or just print it."""
        try:
            if self.bar is not None:
                self.bar.console.print(text, highlight=False, markup=False)
            else:
                print(text, file=sys.stderr, flush=True)
        except (OSError, ValueError):
            self.bar = None


def describe(record: dict[str, Any], max_iters: int) -> str:
    """Put one record of metrics.jsonl into words."""
    start = f"step {record['step']}/{max_iters}"
    if record["split"] == "train":
        speed = f"{record['tokens_per_second']:,.0f} tokens/s"
        return f"{start}  loss {record['loss']:.4f}  lr {record['lr']:.2e}  norm {record['grad_norm']:.2f}  {speed}"
    numbers = {name: value for name, value in record.items() if name not in ("step", "split")}
    return "  ".join([f"{start}  held out:", *(f"{name} {value:.4f}" for name, value in numbers.items())])


class PreparationProgress:
    """Callable ``(documents, tokens)`` that prints how far preparing is, every few seconds."""

    def __init__(self, every_seconds: float = 5.0) -> None:
        self.every_seconds = every_seconds
        self.told = time.monotonic()

    def __call__(self, documents: int, tokens: int) -> None:
        """Print, unless that was done just now."""
        if time.monotonic() - self.told >= self.every_seconds:
            self.told = time.monotonic()
            with contextlib.suppress(OSError, ValueError):
                print(f"preparing: {documents:,} documents, {tokens:,} tokens", file=sys.stderr, flush=True)
