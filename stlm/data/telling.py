"""What a person is told while work goes on, on stderr: a live bar on a terminal, plain lines otherwise."""

import abc
import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, Self

_LEAST_BAR, _MOST_BAR, _GAP = 10, 40, 2
_NARROW = 60
"""Columns of a terminal up to which words are worth more than a bar."""
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


class LiveLine(abc.ABC):
    """How far some work is: on a terminal a line that moves, with a bar where there is room, elsewhere plain lines.

    ``label`` says what work it is. A stream that was closed on us is no reason to lose it.
    """

    label = ""

    def __init__(self, every_seconds: float = 5.0) -> None:
        self.every_seconds = every_seconds
        self.told = time.monotonic()
        self.live: Any = None

    @abc.abstractmethod
    def words(self, width: int | None = None) -> str:
        """Say how far it is, in ``width`` characters if that can be; what does not fit is left out whole."""

    @abc.abstractmethod
    def share(self) -> float | None:
        """Tell how much of the work is done, from 0 to 1; None where that is not known."""

    def move(self) -> None:
        """Show how far it is by now; where there is no terminal, unless something was printed just now."""
        if is_live(sys.stderr):
            self.show()
        elif time.monotonic() - self.told >= self.every_seconds:
            self.told = time.monotonic()
            say(f"{self.label}: {self.words()}")

    def show(self) -> None:
        """Let the line appear, if it is not there yet."""
        if self.live is None:
            from rich.console import Console
            from rich.live import Live

            self.live = Live(self, console=Console(stderr=True), transient=True, redirect_stdout=False)
            self.live.start()

    def say(self, text: str) -> None:
        """Print a line above this one, or just print it where this one is not shown."""
        if self.live is None:
            say(text)
            return
        try:
            self.live.console.print(text, highlight=False, markup=False)
        except (OSError, ValueError):
            self.stop()

    def stop(self) -> None:
        """Take the line away."""
        live, self.live = self.live, None
        if live is not None:
            with contextlib.suppress(OSError, ValueError):
                live.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        label = [self.label] if self.label else []
        width = options.max_width - sum(len(part) + _GAP for part in label)
        words, share = self.words(width - (_LEAST_BAR + _GAP if width > _NARROW else 0)), self.share()
        room = min(_MOST_BAR, width - len(words) - _GAP)
        total = None if share is None else 1.0
        bar = [ProgressBar(total=total, completed=share or 0.0, width=room)] if room >= _LEAST_BAR else []
        row = Table.grid(padding=(0, _GAP, 0, 0))
        row.add_row(*label, *bar, words)
        yield row


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
