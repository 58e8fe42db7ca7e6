"""Text that grows by tokens: whole characters, stop strings, several texts at once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stlm.generation.text import TextStream, write_texts


class Bytes:
    """One token a byte; 0 ends a text."""

    eot_id = 0

    def decode_bytes(self, ids):
        return bytes(ids)


def test_no_half_character_is_shown():
    stream = TextStream(Bytes(), [])
    assert [stream.add(byte) for byte in "né€".encode()] == ["n", "", "é", "", "", "€"]
    assert stream.end() == ""


def test_a_text_that_ends_within_a_character_says_so():
    stream = TextStream(Bytes(), [])
    assert stream.add("é".encode()[0]) == ""
    assert stream.end() == "\N{REPLACEMENT CHARACTER}"


def test_a_space_at_the_head_of_the_new_text_is_kept():
    class DropsFirstSpace:
        def decode_bytes(self, ids):
            return "".join(("a", " b")[i] for i in ids).removeprefix(" ").encode()

    stream = TextStream(DropsFirstSpace(), [0])
    assert stream.add(1) + stream.add(1) == " b b"


def shown(text: str, *stop: str) -> tuple[str, bool]:
    stream = TextStream(Bytes(), [], stop)
    out = ""
    for byte in text.encode():
        out += stream.add(byte)
        if stream.stopped:
            break
    return out + ("" if stream.stopped else stream.end()), stream.stopped


@pytest.mark.parametrize(
    ("text", "stop", "kept"),
    [
        ("one. two", (".",), "one"),
        ("one. two", ("two", "."), "one"),
        ("one. two", ("three",), "one. two"),
        ("aab", ("ab",), "a"),
        ("aaab", ("aab",), "a"),
        ("Q: né", ("é",), "Q: n"),
        ("ends with E", ("END",), "ends with E"),
        ("END", ("END",), ""),
    ],
)
def test_a_text_ends_before_the_first_stop_string(text, stop, kept):
    assert shown(text, *stop) == (kept, kept != text)


@given(st.text("abc", max_size=20), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3))
def test_stop_strings_cut_as_a_search_in_the_whole_text_would(text, stop):
    ends = [at for at in (text.find(one) for one in stop) if at >= 0]
    out, stopped = shown(text, *stop)
    assert stopped == bool(ends)
    if not ends:
        assert out == text
    else:  # a text is searched as it grows: the stop string that is complete first ends it
        complete = min(text.find(one) + len(one) for one in stop if one in text)
        assert out == text[: min(at for at, one in ((text.find(o), o) for o in stop) if 0 <= at <= complete - len(one))]


def test_nothing_of_a_stop_string_is_shown_before_it_is_whole():
    stream = TextStream(Bytes(), [], ["</end>"])
    assert [stream.add(byte) for byte in b"a</en d"] == ["a", "", "", "", "", "</en ", "d"]


class Scripted:
    """Stands for a decoder: says what is drawn for each text at each step."""

    def __init__(self, *texts: str) -> None:
        self.drawn = [text.encode() for text in texts]
        self.texts: list[list[int]] = [[65] for _ in texts]
        self.unfinished = list(range(len(texts)))

    def step(self) -> dict[int, int]:
        drawn = {}
        for number in self.unfinished:
            at = len(self.texts[number]) - 1
            drawn[number] = self.drawn[number][at] if at < len(self.drawn[number]) else 0
            self.texts[number].append(drawn[number])
        return drawn

    def finish(self, number: int) -> None:
        self.unfinished.remove(number)


def written(*texts: str, max_new_tokens: int = 10, **options: Any) -> list[str]:
    out = [""] * len(texts)
    for number, piece in write_texts(Scripted(*texts), Bytes(), max_new_tokens=max_new_tokens, **options):
        out[number] += piece
    return out


def test_each_text_ends_by_itself():
    assert written("abc", "a.b", "abcdefghijkl", stop=["."]) == ["abc", "a", "abcdefghij"]


def test_a_text_that_is_cut_off_within_what_may_be_a_stop_string_shows_it():
    assert written("abEN", max_new_tokens=4, stop=["END"]) == ["abEN"]
    assert written("abEN", stop=["END"]) == ["abEN"]


def test_no_tokens_are_no_text():
    assert written("abc", max_new_tokens=0) == [""]
