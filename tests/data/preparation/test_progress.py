"""How far a preparation is, in words."""

import attrs
import pytest

from stlm.data.preparation.prepare import Reached
from stlm.data.preparation.progress import PreparationProgress, describe
from tests.data.test_telling import drawn

HALF = Reached(documents=123_456, bytes=312_000_000, tokens=98_765_432, seconds=60.0, fraction=0.5)
WHOLE = Reached(documents=10, bytes=2_000_000, tokens=500, seconds=10.0, fraction=1.0)


def test_all_is_said_where_there_is_room() -> None:
    assert describe(HALF) == "123,456 documents, 312 MB, 98,765,432 tokens, 1,646,091 tokens/s, 1 min left"


def test_one_document_is_one() -> None:
    assert describe(attrs.evolve(WHOLE, documents=1)).startswith("1 document, ")


def test_nothing_is_left_where_all_is_read() -> None:
    for fraction in (1.0, 0.97):  # what is read may be less than the files have
        assert describe(attrs.evolve(WHOLE, fraction=fraction)) == "10 documents, 2.0 MB, 500 tokens, 50 tokens/s"


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (63, "123,456 documents, 312 MB, 1,646,091 tokens/s, 1 min left"),
        (45, "123,456 documents, 312 MB, 1 min left"),
        (30, "123,456 documents, 1 min left"),
        (20, "123,456 documents"),
    ],
)
def test_a_narrow_terminal_is_told_less_in_whole_parts(width: int, words: str) -> None:
    assert describe(HALF, width) == words


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("reached", [HALF, WHOLE, Reached(1, 1, 1, 1.0, None)])
def test_its_line_fits_a_terminal(reached: Reached, width: int) -> None:
    progress = PreparationProgress()
    progress.reached = reached
    line = drawn(progress, width)
    assert len(line) <= width
    assert line.startswith("preparing ")
    assert line.endswith(describe(reached, width - (11 if width < 60 else 23)))
    assert width < 60 or "━" in line
