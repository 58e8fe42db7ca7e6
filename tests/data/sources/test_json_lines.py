"""Documents of JSON lines."""

import itertools
import json
import logging
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stlm.data.sources import json_lines as module
from stlm.data.sources.files import FileDocuments
from stlm.data.sources.json_lines import JsonLines
from stlm.data.sources.rows import RowReader
from stlm.spec.errors import UsageError, WorkError


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows") / "a.jsonl"


def read(file: Path, **options: str) -> list[str]:
    return list(FileDocuments((file,), rows=RowReader(**options)).documents())


def test_a_line_is_a_document_and_a_blank_one_is_none(file: Path) -> None:
    file.write_bytes(b'{"text": "one\\n"}\n\n{"text": "", "n": 1}\r\n  \n{"text": "three"}')
    assert read(file) == ["one\n", "", "three"]


def test_a_byte_order_mark_is_dropped(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbf{"text": "one"}')
    assert read(file) == ["one"]


def test_a_byte_order_mark_elsewhere_is_no_json(file: Path) -> None:
    file.write_bytes(b'{"text": "one"}\n\xef\xbb\xbf{"text": "two"}')
    with pytest.raises(WorkError, match=f"{file}:2: this line is not JSON"):
        read(file)


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=12),
    escaped=st.booleans(),
    blank=st.sampled_from(["", "\n", " \r\n"]),
    mark=st.booleans(),
    part_bytes=st.integers(1, 200),
    block=st.integers(1, 50),
)
def test_ranges_give_whatever_json_can_say(
    file: Path, texts: list[str], escaped: bool, blank: str, mark: bool, part_bytes: int, block: int
) -> None:
    lines = "".join(json.dumps({"text": text}, ensure_ascii=escaped) + "\n" + blank for text in texts)
    file.write_bytes((b"\xef\xbb\xbf" if mark else b"") + lines.encode())
    with mock.patch.object(module, "BLOCK", block):
        parts = [list(part.documents()) for part in FileDocuments((file,), part_bytes=part_bytes).parts()]
    assert list(itertools.chain(*parts)) == texts


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"text": ', "this line is not JSON"),
        ("[1]", "holds a list, not a JSON object"),
        ('{"body": "x", "n": 1}', "no column `text` (set `text_column`, or `template`); the columns are: `body`, `n`"),
        ("{}", "the columns are: none"),
        ('{"text": null}', "column `text` holds null, not a string"),
        ('{"text": 3}', "column `text` holds a number, not a string"),
        ("[" * 100_000, "this line is not JSON"),
    ],
)
@pytest.mark.parametrize("part_bytes", [20, 1 << 20])
def test_a_bad_row_is_placed_by_its_line_in_the_whole_file(file: Path, line: str, says: str, part_bytes: int) -> None:
    file.write_text('\ufeff{"text": "good"}\n\n' + '{"text": "good"}\n' * 3 + line + "\n", encoding="utf-8")
    parts = FileDocuments((file,), part_bytes=part_bytes).parts()
    with pytest.raises((UsageError, WorkError)) as caught:
        [list(part.documents()) for part in parts]
    assert str(caught.value).startswith(f"{file}:6: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part_bytes", [10, 1 << 20])
@pytest.mark.parametrize("data", [b'{"text": "x"}\n{"text": "\xff"}\n', b'\xef\xbb\xbf{"text": "\xff"}\n'])
def test_what_is_not_utf8_is_placed_to_the_byte(file: Path, part_bytes: int, data: bytes) -> None:
    file.write_bytes(data)
    parts = FileDocuments((file,), part_bytes=part_bytes).parts()
    with pytest.raises(WorkError) as caught:
        [list(part.documents()) for part in parts]
    assert str(caught.value) == f"`{file}` is not UTF-8: byte 0xff at offset {len(data) - 4}"


def test_a_row_of_50_megabytes_is_read_and_told_of_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "word " * 10_000_000
    with open(file, "w") as handle:
        handle.write('{"text": "before"}\n')
        json.dump({"text": text}, handle)
        handle.write('\n{"text": "after"}\n')
    with caplog.at_level(logging.WARNING):
        documents = read(file)
    assert (documents[0], documents[2]) == ("before", "after")
    assert "".join(documents[1].pieces()) == text
    assert caplog.messages == [f"{file}:2: this row has 50.0 MB, and is held in memory"]
    file.write_bytes(b"")


def test_only_the_first_long_row_of_a_part_is_told_of(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_bytes(b'{"text": "long"}\n' * 3)
    with mock.patch.object(module, "LONG_BYTES", 3), caplog.at_level(logging.WARNING):
        read(file)
    assert [message.partition(": ")[0] for message in caplog.messages] == [f"{file}:1"]


def test_skipped_lines_are_not_looked_into(file: Path) -> None:
    file.write_text('no JSON\n\nnor this\n{"text": "x"}\n')
    (part,) = FileDocuments((file,)).parts()
    assert list(part.documents(skip=2)) == ["x"]


def test_a_range_is_named_by_where_it_begins(file: Path) -> None:
    assert str(JsonLines(file, RowReader(), 5, 1_000_000, 1_000_005)) == f"{file} from byte 1,000,000"


@pytest.mark.parametrize("line", ['{"text": "a", "n": NaN}', '{"text": "a", "n": 123456789012345678901234567890}'])
@pytest.mark.parametrize("quick", [True, False])
def test_what_a_stricter_reader_refuses_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, quick: bool
) -> None:
    if not quick:
        monkeypatch.setattr("stlm.data.sources.json_lines.orjson", None)
    (tmp_path / "a.jsonl").write_text(line + "\n")
    assert list(FileDocuments((tmp_path / "a.jsonl",)).documents()) == ["a"]


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize(
    "number",
    [
        *("123456789012345678901234567890", "18446744073709551616", "18446744073709551615", "-9223372036854775809"),
        *("-9223372036854775808", "9007199254740993", "1e+30", "12345678901234567.0", "1.5", "-0"),
    ],
)
def test_a_number_is_the_same_text_by_either_parser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str, quick: bool
) -> None:
    if quick:
        pytest.importorskip("orjson")
    else:
        monkeypatch.setattr(module, "orjson", None)
    (tmp_path / "a.jsonl").write_text(f'{{"n": {number}, "in": {{"n": {number}}}}}\n')
    wanted = str(json.loads(number))
    assert read(tmp_path / "a.jsonl", template="{n} {in.n}") == [f"{wanted} {wanted}"]
    (tmp_path / "a.jsonl").write_text(f'{{"in": {{"n": {number}}}}}\n')
    assert read(tmp_path / "a.jsonl", template="{in.n}") == [wanted]
