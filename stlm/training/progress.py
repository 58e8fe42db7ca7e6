"""What a person is told of a run: how training gets on, on stderr."""

import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from stlm.data.telling import duration, is_live
from stlm.registry import hook
from stlm.training.state import TrainingState


class Progress:
    """The plugin that prints to stderr: where the run is, each line of its metrics, and, on a terminal, a bar.

    Colors go away where ``NO_COLOR`` is set. A stream that was closed on us is no reason to lose a run.
    """

    def __init__(self) -> None:
        self.live: Any = None
        self.bar = Bar(0, 0)

    @hook
    def training_starts(self, run: TrainingState) -> None:
        """Say what starts, or goes on, and where."""
        self.bar = Bar(run.step, run.trainer.max_iters)
        report, last = run.program.report, run.trainer.max_iters
        steps = f"steps {run.step + 1:,} to {last:,}" if run.step else f"{last:,} steps"
        self.say(f"run: {run.folder.root}")
        if run.finished:
            self.say(f"this run is finished: {run.step:,} of {last:,} steps done; a larger `trainer.max_iters` goes on")
            return
        count = run.processes.count
        by = f" by {count} processes ({run.program.parallel})" if count > 1 else ""
        self.say(
            f"training {report.parameters.trainable:,} parameters on {run.device} in {run.precision}{by}: "
            f"{steps} of {report.tokens['per_step']:,} tokens"
        )
        if is_live(sys.stderr):
            from rich.console import Console
            from rich.live import Live

            self.live = Live(self.bar, console=Console(stderr=True), transient=True, redirect_stdout=False)
            self.live.start()

    @hook
    def step_ends(self, run: TrainingState, metrics: dict[str, float]) -> None:
        """Move the bar."""
        self.bar.move(run.step, metrics, run.program.report.tokens["per_step"])

    @hook
    def metrics_logged(self, run: TrainingState, record: dict[str, Any]) -> None:
        """Print a line of the metrics."""
        self.say(describe(record, run.trainer.max_iters, self.bar.seconds_left()))

    @hook
    def training_ends(self, run: TrainingState) -> None:
        """Take the bar away."""
        if self.live is not None:
            self.live.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar, or just print it."""
        try:
            if self.live is not None:
                self.live.console.print(text, highlight=False, markup=False)
            else:
                print(text, file=sys.stderr, flush=True)
        except (OSError, ValueError):
            self.live = None


class Bar:
    """One line of a terminal: a bar, and what there is to say of the step that was just done.

    What is less important is left out where the terminal is too narrow for it: first the bar, then the learning rate.
    """

    def __init__(self, step: int, last: int) -> None:
        self.began, self.first, self.step, self.last = time.monotonic(), step, step, last
        self.metrics: Mapping[str, float] = {}
        self.speeds: deque[float] = deque(maxlen=20)

    def move(self, step: int, metrics: Mapping[str, float], tokens: int) -> None:
        """Take note of a step, of ``tokens``, that was done."""
        if not self.speeds:  # what was set up before the first step takes no time of the others
            self.began = time.monotonic() - metrics["seconds"]
        self.step, self.metrics = step, {name: metrics[name] for name in ("loss", "lr")}
        self.speeds.append(tokens / max(metrics["seconds"], 1e-9))

    def seconds_left(self) -> float:
        """Estimate the time to the last step from what the steps so far have taken, evaluations included."""
        done = self.step - self.first
        return (time.monotonic() - self.began) / done * (self.last - self.step) if done else 0.0

    def words(self, width: int) -> str:
        """Say as much as fits."""
        said = {"step": f"{self.step}/{self.last}"}
        if self.metrics:
            said["loss"] = f"loss {self.metrics['loss']:.3f}"
            said["lr"] = f"lr {self.metrics['lr']:.2e}"
            said["speed"] = f"{sum(self.speeds) / len(self.speeds):,.0f} tokens/s"
            said["left"] = f"{duration(self.seconds_left())} left"
        for unimportant in ("lr", "speed", "left", "loss"):
            if len("  ".join(said.values())) > width:
                said.pop(unimportant, None)
        return "  ".join(said.values())

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        words = self.words(options.max_width)
        room = min(40, options.max_width - len(words) - 2)
        row = Table.grid(padding=(0, 2, 0, 0))
        bar = [ProgressBar(total=self.last, completed=self.step, width=room)] if room >= 10 else []
        row.add_row(*bar, words)
        yield row


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
    """Say the loss beside what it must beat, and texts a byte; then the numbers of benchmarks and of plugins."""
    words = ["held out"]
    numbers = {name: value for name, value in record.items() if name not in ("step", "split")}
    loss, unigram = numbers.pop("loss", None), numbers.pop("unigram_loss", None)
    if loss is not None:
        words.append(f"loss {loss:.3f}" + (f" (unigram {unigram:.3f})" if unigram is not None else ""))
    numbers.pop("perplexity", None)  # the loss in other words
    of_all = numbers.pop("bits_per_byte", None)
    bits = numbers.pop("text_modeling/held_out/bits_per_byte", of_all)
    if bits is not None:
        words.append(f"{bits:.3f} bits/byte")
    right = numbers.pop("text_modeling/held_out/byte_accuracy", None)
    if right is not None:
        words.append(f"{right:.1%} of bytes right")
    bits, _ = numbers.pop("text_modeling/bits_per_byte", None), numbers.pop("text_modeling/byte_accuracy", None)
    if bits is not None:
        words.append(f"passages {bits:.3f} bits/byte")
    words += _benchmark_words(numbers)
    return words + [f"{name} {value:.3f}" for name, value in numbers.items() if not name.endswith("/stderr")]


def _benchmark_words(numbers: dict[str, Any]) -> list[str]:
    """Take the scores of benchmarks out of the numbers, and say each beside what guessing gives.

    Chance has a mark (``≈``) before it where the score cannot be told from it.
    """
    words = []
    for name in [path.removesuffix("/chance") for path in numbers if path.endswith("/chance")]:
        own = {path: numbers.pop(path) for path in list(numbers) if path.rpartition("/")[0] == name}
        at, chance = own.get(f"{name}/at_chance"), own[f"{name}/chance"]
        said = f"{name} {own[f'{name}/acc']:.1%} (chance {'≈' if at else ''}{chance:.1%})"
        by_text = own.get(f"{name}/acc_text")
        words.append(said if by_text is None else f"{said}, by text {by_text:.1%}")
    return words
