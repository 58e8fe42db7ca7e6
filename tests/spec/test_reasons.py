"""What others' errors say, as a part of a line."""

from stlm.spec.reasons import reason_of, typed_reason_of


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_lines_become_one_and_a_long_text_is_cut() -> None:
    assert reason_of(ValueError("one\n  two\t three ")) == "one two three"
    assert reason_of(ValueError("word " * 9), limit=9) == "word word…"


def test_an_error_that_says_nothing_or_cannot_is_named_by_its_type() -> None:
    assert [reason_of(error) for error in (ValueError(), ValueError(" \n"), MuteError())] == [
        "ValueError",
        "ValueError",
        "MuteError",
    ]


def test_the_type_stands_before_the_reason_once() -> None:
    assert typed_reason_of(KeyError("a")) == "KeyError: 'a'"
    assert [typed_reason_of(error) for error in (KeyError(), MuteError())] == ["KeyError", "MuteError"]
