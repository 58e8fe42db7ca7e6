"""What a person is told of a run: how training gets on, on stderr."""

import sys
import time
from typing import Any

from stlm.data.telling import duration, is_live
from stlm.registry import hook
from stlm.training.state import TrainingState


class Progress:
    """The plugin that prints to stderr: where the run is, each line of its metrics, and, on a terminal, a bar.

    Colors go away where ``NO_COLOR`` is set. A stream that was closed on us is no reason to lose a run.
    """

    def __init__(self) -> None:
        self.bar: Any = None
        self.task: Any = None
        self.began, self.first_step = time.monotonic(), 0

    @hook
    def training_starts(self, run: TrainingState) -> None:
        """Say what starts, or goes on, and where."""
        self.began, self.first_step = time.monotonic(), run.step
        report, last = run.program.report, run.trainer.max_iters
        steps = f"steps {run.step + 1:,} to {last:,}" if run.step else f"{last:,} steps"
        self.say(f"run: {run.folder.root}")
        if run.finished:
            self.say(f"this run is finished: {run.step:,} of {last:,} steps done; a larger `trainer.max_iters` goes on")
            return
        self.say(
            f"training {report.parameters.trainable:,} parameters on {run.device} in {run.precision}: "
            f"{steps} of {report.tokens['per_step']:,} tokens"
        )
        if is_live(sys.stderr):
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn())
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self.task = self.bar.add_task("training", total=last, completed=run.step, loss="")
            self.bar.start()

    @hook
    def step_ends(self, run: TrainingState, metrics: dict[str, float]) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.update(self.task, completed=run.step, loss=f"loss {metrics['loss']:.3f}")

    @hook
    def metrics_logged(self, run: TrainingState, record: dict[str, Any]) -> None:
        """Print a line of the metrics."""
        done, to_do = run.step - self.first_step, run.trainer.max_iters - run.step
        left = (time.monotonic() - self.began) / done * to_do if done else 0.0
        self.say(describe(record, run.trainer.max_iters, left))

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


def describe(record: dict[str, Any], max_iters: int, seconds_left: float = 0.0) -> str:
    """Put one record of metrics.jsonl into words."""
    start = f"step {record['step']:>{len(str(max_iters))}}/{max_iters}"
    words = _train_words(record) if record["split"] == "train" else _held_out_words(record)
    left = [f"{duration(seconds_left)} left"] if seconds_left >= 1 and record["split"] == "train" else []
    return "  ".join([start, *words, *left])


def _train_words(record: dict[str, Any]) -> list[str]:
    speed = f"{record['tokens_per_second']:,.0f} tokens/s"
    return [f"loss {record['loss']:.3f}", f"lr {record['lr']:.2e}", f"norm {record['grad_norm']:.2f}", speed]


def _held_out_words(record: dict[str, Any]) -> list[str]:
    """Say the loss beside what it must beat, and the text a byte; then the numbers of benchmarks and of plugins."""
    words = ["held out"]
    numbers = {name: value for name, value in record.items() if name not in ("step", "split")}
    loss, unigram = numbers.pop("loss", None), numbers.pop("unigram_loss", None)
    if loss is not None:
        words.append(f"loss {loss:.3f}" + (f" (unigram {unigram:.3f})" if unigram is not None else ""))
    numbers.pop("perplexity", None)  # the loss in other words
    of_all = numbers.pop("bits_per_byte", None)
    bits = numbers.pop("text_modeling/bits_per_byte", of_all)
    if bits is not None:
        words.append(f"{bits:.3f} bits/byte")
    right = numbers.pop("text_modeling/byte_accuracy", None)
    if right is not None:
        words.append(f"{right:.1%} of bytes right")
    return words + [f"{name} {value:.3f}" for name, value in numbers.items() if not name.endswith("/stderr")]
