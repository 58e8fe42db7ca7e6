"""What a person is told while work goes on, on stderr: a live bar on a terminal, plain lines otherwise."""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from typing import Any


def is_live(stream: Any) -> bool:
    """Whether ``stream`` is a terminal on which something may move; a CI system's is not."""
    return bool(stream.isatty()) and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


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


def megabytes(count: float) -> str:
    """Say bytes in units of a million: 0.5 MB, 312 MB, 44.2 GB."""
    for size, unit in ((1e12, "TB"), (1e9, "GB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e6:.1f} MB" if count < 1e7 else f"{count / 1e6:.0f} MB"


class PreparationProgress:
    """Told how far preparing is, it moves a bar, or prints a line every few seconds."""

    def __init__(self, every_seconds: float = 5.0) -> None:
        self.every_seconds = every_seconds
        self.told = time.monotonic()
        self.bar: Any = None
        self.task: Any = None

    def __call__(self, reached: Any) -> None:
        """Tell what a `stlm.data.preparation.prepare.Reached` says, unless that was done just now."""
        if is_live(sys.stderr):
            self._move(reached)
        elif time.monotonic() - self.told >= self.every_seconds:
            self.told = time.monotonic()
            say(f"preparing: {describe(reached)}")

    def _move(self, reached: Any) -> None:
        if self.bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (TextColumn("preparing"), BarColumn(), TextColumn("{task.fields[words]}"))
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
            self.task = self.bar.add_task("preparing", total=None, words="")
            self.bar.start()
        total = None if reached.fraction is None else 1.0
        self.bar.update(self.task, completed=reached.fraction or 0.0, total=total, words=describe(reached))

    def __enter__(self) -> "PreparationProgress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()


def describe(reached: Any) -> str:
    """Put into words how far a preparation is."""
    rate = reached.tokens / reached.seconds if reached.seconds else 0.0
    words = [
        f"{reached.documents:,} documents",
        megabytes(reached.bytes),
        f"{reached.tokens:,} tokens",
        f"{rate:,.0f} tokens/s",
    ]
    if reached.fraction:
        words.append(f"{duration(reached.seconds / reached.fraction * (1 - reached.fraction))} left")
    return ", ".join(words)


class _Printer(logging.Handler):
    """Prints to what is stderr at the moment, which a live bar may have replaced."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


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


def say(text: str) -> None:
    """Print a line to stderr; a stream that was closed on us is no reason to lose work."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)
