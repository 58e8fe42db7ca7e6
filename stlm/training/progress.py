"""What a person is told of a run: how preparing and training get on, on stderr."""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from stlm.registry import hook
from stlm.training.state import TrainingState


def is_live(stream: Any) -> bool:
    """Whether ``stream`` is a terminal on which something may move; a CI system's is not."""
    return bool(stream.isatty()) and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


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


def duration(seconds: float) -> str:
    """Say a time in its largest units: 42 s, 12 min, 3 h 05 min, 2 d 4 h."""
    minutes, hours, days = (round(seconds / unit) for unit in (60, 3600, 86400))
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{hours // 24} d {hours % 24} h" if days < 100 else f"{days} d"


class PreparationProgress:
    """Callable ``(documents, tokens)`` that prints how far preparing is, every few seconds."""

    def __init__(self, every_seconds: float = 5.0) -> None:
        self.every_seconds = every_seconds
        self.told = time.monotonic()

    def __call__(self, documents: int, tokens: int) -> None:
        """Print, unless that was done just now."""
        if time.monotonic() - self.told >= self.every_seconds:
            self.told = time.monotonic()
            _print(f"preparing: {documents:,} documents, {tokens:,} tokens")


class _Printer(logging.Handler):
    """Prints to what is stderr at the moment, which a live bar may have replaced."""

    def emit(self, record: logging.LogRecord) -> None:
        _print(self.format(record))


@contextlib.contextmanager
def log_shown() -> Iterator[None]:
    """Print what stlm logs, from INFO up, so that nobody waits in silence while data and tokenizer are prepared.

    Nothing changes where the program around stlm has set its logging up.
    """
    log = logging.getLogger("stlm")
    if log.hasHandlers():
        yield
        return
    printer, level = _Printer(), log.level
    log.addHandler(printer)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(printer)
        log.setLevel(level)


def _print(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)
