"""What a person is told of an evaluation, on stderr: a live line on a terminal, plain lines otherwise."""

import sys
import time
from collections.abc import Iterator
from typing import Any

from stlm.data.telling import duration, is_live, say

_EVERY_SECONDS = 5.0
_LEAST_BAR = 10


class EvaluationProgress:
    """Told how many rows of a benchmark (or pieces of a text) are scored, it moves a bar, or prints a line at times."""

    def __init__(self, every_seconds: float = _EVERY_SECONDS) -> None:
        self.every_seconds = every_seconds
        self.told = time.monotonic()
        self.live: Any = None
        self.bar = Bar()

    def __call__(self, part: str, done: int, total: int) -> None:
        """Tell that ``done`` of ``total`` rows of a part are scored, unless something was told just now."""
        self.bar.move(part, done, total)
        if is_live(sys.stderr):
            self._show()
        elif time.monotonic() - self.told >= self.every_seconds:
            self.told = time.monotonic()
            say(f"evaluating: {self.bar.words()}")

    def _show(self) -> None:
        if self.live is None:
            from rich.console import Console
            from rich.live import Live

            self.live = Live(self.bar, console=Console(stderr=True), transient=True, redirect_stdout=False)
            self.live.start()

    def __enter__(self) -> "EvaluationProgress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()


class Bar:
    """One line: a bar, if there is room for it, the part, the rows, and the time that the rest of them will take."""

    def __init__(self) -> None:
        self.part, self.done, self.total, self.began = "", 0, 0, time.monotonic()

    def move(self, part: str, done: int, total: int) -> None:
        """Take note of what is scored by now."""
        if part != self.part:
            self.began = time.monotonic()
        self.part, self.done, self.total = part, done, total

    def words(self, width: int | None = None) -> str:
        """Say as much as fits into ``width`` characters."""
        seconds = time.monotonic() - self.began
        left = seconds / self.done * (self.total - self.done) if self.done else 0.0
        said = [f"{self.part} {self.done:,}/{self.total:,}"]
        if left >= 1:
            said.append(f"{duration(left)} left")
        if width is not None and len(", ".join(said)) > width:
            said = said[:1]
        return ", ".join(said)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        words = self.words(options.max_width)
        room = min(40, options.max_width - len(words) - 2)
        row = Table.grid(padding=(0, 2, 0, 0))
        bar = [ProgressBar(total=max(self.total, 1), completed=self.done, width=room)] if room >= _LEAST_BAR else []
        row.add_row(*bar, words)
        yield row
