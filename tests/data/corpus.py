"""Texts for tests, and the place of the real files."""

import hashlib
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


def is_held_out(text: str, fraction: float) -> bool:
    """Say by the rule's own words whether a document is held out."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) / 2**256 < fraction


def real(path: str) -> Path:
    """Give a file of the real data, or skip the test."""
    found = REAL_DATA / path
    if not found.exists():
        pytest.skip(f"the real files are not here ({found})")
    return found


class OddError(WorkError):
    """An error that does not come back from being pickled."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"two halves: {one}, {other}")


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
            raise UsageError("no column `text`", key="text_column")
        if self.how == "work":
            raise WorkError("rows.jsonl:7: this line is not JSON")
        if self.how == "odd":
            raise OddError("one", "other")
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
    same_name: bool = False

    def parts(self) -> list[StoryPart]:
        """Divide the stories."""
        numbers = range(self.first, self.first + self.count)
        starts = range(0, self.count, self.each)
        taken = [tuple(numbers[i : i + self.each]) for i in starts]
        return [StoryPart(each, self.fails_at, self.how, 100 * len(each)) for each in taken]

    def documents(self) -> Iterator[str]:
        """Give the stories."""
        for part in self.parts():
            yield from part.documents()

    def fingerprint(self) -> str:
        """Tell them apart by their numbers; what goes wrong does not count, nor with ``same_name`` the parts."""
        return f"sha256:{self.first}-{self.count}-{0 if self.same_name else self.each}"
