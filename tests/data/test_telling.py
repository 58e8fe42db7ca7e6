"""A line that says how far some work is: on a terminal with a bar, elsewhere in plain lines."""

import io
import re
import sys
import time
from collections.abc import Callable

import pytest
from rich.console import Console

from stlm.data.telling import LiveLine


def drawn(line: LiveLine, width: int) -> str:
    """Draw a line on a terminal of so many columns, where it must not be broken in two."""
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None).print(line)
    (only,) = out.getvalue().splitlines()
    return only.rstrip()


class Counting(LiveLine):
    """Counts to ten, and says so at length where there is room."""

    label = "counting"
    done: float | None = 4
    more = " of the ten that there are"

    def words(self, width: int | None = None) -> str:
        """Say how many."""
        long = f"{self.done}{self.more}"
        return long if width is None or len(long) <= width else f"{self.done}/10"

    def share(self) -> float | None:
        """Tell how many of ten."""
        return None if self.done is None else self.done / 10


class Terminal(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make stderr a terminal of 80 columns without colors."""
    monkeypatch.delenv("CI", raising=False)
    for name, value in {"TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    return made


@pytest.mark.parametrize(("width", "columns"), [(120, 40), (65, 26), (60, 21)])
def test_where_there_is_room_a_bar_stands_before_the_words(width: int, columns: int) -> None:
    line = drawn(Counting(), width)
    label, bar, words = re.split("(?<=g)  |  (?=4)", line)
    assert (label, words) == ("counting", "4 of the ten that there are")
    assert (len(line), len(bar)) == (10 + columns + 2 + 27, columns)
    assert bar.count("━") == int(0.4 * columns)


def test_on_a_narrow_terminal_words_are_worth_more_than_a_bar() -> None:
    assert drawn(Counting(), 40) == "counting  4 of the ten that there are"
    assert drawn(Counting(), 30) == "counting  ━━━━━╸          4/10", "so narrow that there is room again"


def test_on_a_wide_terminal_a_bar_is_worth_more_than_the_last_words() -> None:
    line = Counting()
    line.more = " of a number of which much is to be said, ten namely"
    assert len(line.words()) == 53
    assert re.fullmatch("counting  [━╸╺ ]+  4/10", drawn(line, 74))
    assert re.fullmatch("counting  [━╸╺ ]+  4 of .* ten namely", drawn(line, 75))


def test_where_it_is_not_known_how_much_there_is_the_bar_only_moves() -> None:
    line = Counting()
    line.done = None
    assert "━" in drawn(line, 90)


def test_on_a_terminal_lines_go_above_the_one_that_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = terminal(monkeypatch)
    with Counting() as line:
        line.move()
        line.say("[b]heard[/b]")
        line.done = 9
        line.move()
    text = stream.getvalue()
    assert re.search(r"\[b\]heard\[/b\]\s*\n", text)
    assert text.index("heard") < text.rindex("4 of the ten") < text.index("9 of the ten")
    assert line.live is None


def test_where_there_is_no_terminal_a_line_is_printed_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with Counting(every_seconds=60) as line:
        line.move()
        line.told = time.monotonic() - 61
        line.move()
        line.done = 5
        line.move()
        line.say("heard")
    assert capsys.readouterr().err == "counting: 4 of the ten that there are\nheard\n"


@pytest.mark.parametrize("act", [lambda line: line.say("nobody hears this"), lambda line: line.stop()])
def test_a_terminal_that_was_closed_stops_no_work(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[LiveLine], None]
) -> None:
    stream, line = terminal(monkeypatch), Counting()
    line.show()
    stream.close()
    act(line)
    assert line.live is None
    assert sys.stderr is stream, "as it was before the line took it over"
