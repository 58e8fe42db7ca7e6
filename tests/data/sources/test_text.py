"""Documents of text files, divided by a separator or long."""

import itertools
import pickle
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stlm.data.sources import text as module
from stlm.data.sources.files import FileDocuments
from stlm.data.sources.text import FileText, Texts
from stlm.spec.errors import WorkError


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text") / "a.txt"


def pieces_of(text: str, separator: str) -> list[str]:
    return [piece for piece in text.split(separator) if piece.strip()]


def said(documents: object) -> list[str]:
    return [d if isinstance(d, str) else "".join(d.pieces()) for d in documents]


def test_a_file_is_one_document_to_the_byte(file: Path) -> None:
    file.write_bytes(b"  one\r\n\r\ntwo\n\n")
    assert list(Texts(file, 0).read()) == ["  one\r\n\r\ntwo\n\n"]


def test_a_file_of_some_megabytes_is_one_document(file: Path) -> None:
    text = "Zeile für Zeile\n" * 200_000
    file.write_text(text, encoding="utf-8")
    assert list(Texts(file, 0).read()) == [text]


def test_an_empty_file_is_an_empty_document(file: Path) -> None:
    file.write_bytes(b"")
    assert list(Texts(file, 0).read()) == [""]


def test_a_file_is_divided_where_asked_and_blank_pieces_are_none(file: Path) -> None:
    file.write_bytes(b"one\n<|end|>\ntwo<|end|>\n<|end|>three\n<|end|>")
    assert list(Texts(file, 0, "<|end|>").read()) == ["one\n", "\ntwo", "three\n"]


@pytest.mark.parametrize("separator", [None, "|"])
def test_a_byte_order_mark_is_dropped(file: Path, separator: str | None) -> None:
    file.write_bytes(b"\xef\xbb\xbfone")
    assert list(Texts(file, 0, separator).read()) == ["one"]


@given(
    between=st.lists(st.text("ab\n é", max_size=6), min_size=1, max_size=12),
    separator=st.text("ab\n é", min_size=1, max_size=4),
    mark=st.booleans(),
    part_bytes=st.integers(1, 40),
    block=st.integers(1, 16),
    long=st.integers(1, 30),
)
def test_ranges_give_what_splitting_the_whole_gives(
    file: Path, between: list[str], separator: str, mark: bool, part_bytes: int, block: int, long: int
) -> None:
    text = separator.join(between)
    file.write_bytes((b"\xef\xbb\xbf" if mark else b"") + text.encode())
    source = FileDocuments((file,), split_on=separator, part_bytes=part_bytes)
    with mock.patch.multiple(module, BLOCK=block, LONG_BYTES=long, PIECE_BYTES=block):
        parts = [said(part.documents()) for part in source.parts()]
    assert list(itertools.chain(*parts)) == pieces_of(text, separator)


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("a" * 20_000, "aa"),
        ("x" + "a" * 20_001 + "y", "aa"),
        (("ab" * 6000 + "x") * 2, "abab"),
        ("one\n\n\n\n\ntwo\n\n\nthree\n" * 900, "\n\n"),
        ("word<|end|>" * 3000, "<|end|>"),
    ],
)
@pytest.mark.parametrize("part_bytes", [4999, 7000, 15001])
def test_a_separator_that_overlaps_itself_far_before_a_boundary_is_right(
    file: Path, text: str, separator: str, part_bytes: int
) -> None:
    file.write_bytes(text.encode())
    parts = FileDocuments((file,), split_on=separator, part_bytes=part_bytes).parts()
    assert len(parts) > 1
    assert [text for part in parts for text in part.documents()] == pieces_of(text, separator)


def test_a_byte_order_mark_of_a_long_file_is_dropped(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbflong|long")
    with mock.patch.multiple(module, LONG_BYTES=2, BLOCK=1):
        assert said(Texts(file, 0).read()) == ["long|long"]
        assert said(Texts(file, 0, "|").read()) == ["long", "long"]


def test_each_range_holds_about_its_share(file: Path) -> None:
    file.write_bytes(b"0123456789|" * 1000)
    parts = FileDocuments((file,), split_on="|", part_bytes=1100).parts()
    assert [len(list(part.documents())) for part in parts] == [100] * 10
    assert str(parts[1]) == f"{file} from byte 1,100"


@given(text=st.text(min_size=1, max_size=50), piece=st.integers(1, 9))
def test_a_long_text_is_the_same_in_pieces_each_time(file: Path, text: str, piece: int) -> None:
    file.write_bytes(text.encode())
    with mock.patch.multiple(module, LONG_BYTES=0, PIECE_BYTES=piece):
        (document,) = Texts(file, 0).read()
        assert isinstance(document, FileText)
        document = pickle.loads(pickle.dumps(document))
        assert "".join(document.pieces()) == "".join(document.pieces()) == text
        assert all(len(part.encode()) <= piece + 3 for part in document.pieces())


def test_a_long_file_is_never_held(tmp_path: Path) -> None:
    import tracemalloc

    file = tmp_path / "long.txt"
    file.write_bytes("Zeile für Zeile\n".encode() * 3_000_000)
    tracemalloc.start()
    (document,) = Texts(file, file.stat().st_size).read()
    characters = sum(map(len, document.pieces()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(document, FileText)
    assert characters == 16 * 3_000_000
    assert peak < file.stat().st_size


def test_a_long_piece_between_two_separators_is_a_long_text(file: Path) -> None:
    file.write_bytes(b"short|" + b"long " * 10 + b"|" + b" " * 50 + b"|short again")
    with mock.patch.multiple(module, BLOCK=8, LONG_BYTES=20):
        first, second, third = Texts(file, 0, "|").read()
    assert (first, third) == ("short", "short again")
    assert isinstance(second, FileText)
    assert "".join(second.pieces()) == "long " * 10


@pytest.mark.parametrize("separator", [None, "|"])
@pytest.mark.parametrize("long", [2, 1000])
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xc3\xa4b\xff", "byte 0xff at offset 3"),
        (b"a|bcd|e\xc3", "byte 0xc3 at offset 7"),
        (b"abcd\xe2\x82", "byte 0xe2 at offset 4"),
    ],
)
def test_what_is_not_utf8_is_placed_to_the_byte(
    file: Path, data: bytes, says: str, separator: str | None, long: int
) -> None:
    file.write_bytes(data)
    with mock.patch.multiple(module, LONG_BYTES=long, PIECE_BYTES=3, BLOCK=2), pytest.raises(WorkError) as caught:
        said(Texts(file, 0, separator).read())
    assert str(caught.value) == f"`{file}` is not UTF-8: {says}"


def test_what_is_not_utf8_in_a_later_part_is_placed_in_the_file(file: Path) -> None:
    file.write_bytes(b"good|" * 20 + b"b\xff")
    part = FileDocuments((file,), split_on="|", part_bytes=30).parts()[-1]
    with pytest.raises(WorkError, match="byte 0xff at offset 101"):
        list(part.documents())
