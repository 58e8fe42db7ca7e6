"""Texts for tests, and the place of the real files."""

from pathlib import Path

import pytest

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
