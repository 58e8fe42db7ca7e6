"""Texts for tests, and the place of the real files."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from stlm.spec.errors import UsageError, WorkError

REAL_DATA = Path(__file__).parents[3] / "shared" / "data"
WORDS = (
    *("the", "cat", "sat", "on", "a", "mat", "while", "seven", "small", "dogs", "ran", "over", "green", "hills", "to"),
    *("find", "their", "supper", "and", "nobody", "knew", "whether", "morning", "would", "bring", "another", "quiet"),
    *("journey", "beyond", "those", "wooden", "bridges", "where", "children", "often", "played", "with", "bright"),
    *("paper", "boats"),
)


def story(number: int, sentences: int = 8) -> str:
    """Make a text that differs for each number."""
    picks = ((number * 7 + i * (number % 5 + 3)) % len(WORDS) for i in range(sentences * 6))
    words = [WORDS[i] for i in picks]
    lines = [" ".join(words[i : i + 6]).capitalize() + "." for i in range(0, len(words), 6)]
    return f"Story {number}\n" + "\n".join(lines) + "\n"


def real(path: str) -> Path:
    """Give a file of the real data, or skip the test."""
    found = REAL_DATA / path
    if not found.exists():
        pytest.skip(f"the real files are not here ({found})")
    return found


@attrs.frozen
class StoryPart:
    """Some stories, which another process can read; at ``fails_at`` something happens instead."""

    numbers: tuple[int, ...]
    fails_at: int | None = None
    how: str = "work"
    size: int = 1000

    def documents(self, skip: int = 0) -> Iterator[str]:
        """Give the stories."""
        for number in self.numbers[skip:]:
            if number == self.fails_at:
                self._fail()
            yield story(number)

    def _fail(self) -> None:
        if self.how == "usage":
            raise UsageError("no column `text`")
        if self.how == "work":
            raise WorkError("rows.jsonl:7: this line is not JSON")
        if self.how == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "sleeps":
            time.sleep(60)
        raise ZeroDivisionError

    def __str__(self) -> str:
        return f"stories {self.numbers[0]} to {self.numbers[-1]}"


@attrs.frozen
class PartedStories:
    """Stories in parts of ``each``."""

    count: int = 60
    each: int = 13
    fails_at: int | None = None
    how: str = "work"
    validation: "PartedStories | None" = None
    first: int = 0

    def parts(self) -> list[StoryPart]:
        """Divide the stories."""
        numbers = range(self.first, self.first + self.count)
        starts = range(0, self.count, self.each)
        return [StoryPart(tuple(numbers[i : i + self.each]), self.fails_at, self.how) for i in starts]

    def documents(self) -> Iterator[str]:
        """Give the stories."""
        for part in self.parts():
            yield from part.documents()

    def fingerprint(self) -> str:
        """Tell them apart by their numbers; what goes wrong does not count."""
        return f"sha256:{self.first}-{self.count}-{self.each}"
