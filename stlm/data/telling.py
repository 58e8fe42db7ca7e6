"""What a person is told while work goes on, on stderr: a live bar on a terminal, plain lines otherwise."""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

_LEAST_BAR, _NARROW = 10, 60
_CENTURY = 36525 * 86400


def is_live(stream: Any) -> bool:
    """Whether ``stream`` is a terminal on which something may move; a CI system's is not."""
    return bool(stream.isatty()) and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


def duration(seconds: float) -> str:
    """Say a time in its largest units: 42 s, 12 min, 3 h 05 min, 2 d 4 h."""
    if seconds > _CENTURY:
        return "over 100 years"
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
        self.live: Any = None
        self.bar = Bar()

    def __call__(self, reached: Any) -> None:
        """Tell what a `stlm.data.preparation.prepare.Reached` says, unless that was done just now."""
        if is_live(sys.stderr):
            self._move(reached)
        elif time.monotonic() - self.told >= self.every_seconds:
            self.told = time.monotonic()
            say(f"preparing: {describe(reached)}")

    def _move(self, reached: Any) -> None:
        self.bar.reached = reached
        if self.live is None:
            from rich.console import Console
            from rich.live import Live

            self.live = Live(self.bar, console=Console(stderr=True), transient=True, redirect_stdout=False)
            self.live.start()

    def __enter__(self) -> "PreparationProgress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()


class Bar:
    """One line of a terminal: a bar, if there is room for it, and as much of what there is to say as fits."""

    reached: Any = None

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        label, fraction = "preparing", self.reached.fraction
        width = options.max_width - len(label) - 1
        words = describe(self.reached, width - (_LEAST_BAR + 1 if width > _NARROW else 0))
        room = min(40, width - len(words) - 1)
        total = None if fraction is None else 1.0
        bar = [ProgressBar(total=total, completed=fraction or 0.0, width=room)] if room >= _LEAST_BAR else []
        row = Table.grid(padding=(0, 1, 0, 0))
        row.add_row(label, *bar, words)
        yield row


def describe(reached: Any, width: int | None = None) -> str:
    """Put into words how far a preparation is; what does not fit in ``width`` characters is left out whole."""
    rate = reached.tokens / reached.seconds if reached.seconds else 0.0
    words = {
        "documents": f"{reached.documents:,} document{'' if reached.documents == 1 else 's'}",
        "bytes": megabytes(reached.bytes),
        "tokens": f"{reached.tokens:,} tokens",
        "rate": f"{rate:,.0f} tokens/s",
    }
    left = reached.seconds / reached.fraction * (1 - reached.fraction) if reached.fraction else 0.0
    if left >= 0.5:  # less would be said to be none
        words["left"] = f"{duration(left)} left"
    for unimportant in ("tokens", "rate", "bytes", "left"):
        if width is not None and len(", ".join(words.values())) > width:
            words.pop(unimportant, None)
    return ", ".join(words.values())


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
