"""Documents of Parquet files."""

import logging
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stlm.data.sources import parquet as module
from stlm.data.sources.files import FileDocuments
from stlm.data.sources.parquet import ParquetRows
from stlm.data.sources.rows import RowReader
from stlm.data.sources.source import Example
from stlm.spec.errors import UsageError, WorkError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.parquet"


def written(file: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), file, **options)
    return file


def read(file: Path, **options: str) -> list[Any]:
    return list(FileDocuments((file,), rows=RowReader(**options)).documents())


def test_a_row_is_a_document_in_the_order_of_the_file(file: Path) -> None:
    texts = [f"naïve {i} 🙂" * (i % 3) for i in range(100)]
    written(file, {"n": list(range(100)), "text": texts}, row_group_size=7)
    assert read(file) == texts


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_strings_may_be_stored_in_any_way(file: Path, kind: Any) -> None:
    written(file, {"text": pa.array(["a", "b", "a"]).cast(kind)})
    assert read(file) == ["a", "b", "a"]


def test_parts_are_groups_of_row_groups_by_the_size_of_the_columns_that_are_read(file: Path) -> None:
    texts = [f"{i:0100}" for i in range(200)]
    unread = [f"{i:0900}" for i in range(200)]
    written(file, {"text": texts, "unread": unread}, row_group_size=10, use_dictionary=False)
    parts = FileDocuments((file,), part_bytes=4500).parts()
    assert [stretch.row_groups for part in parts for stretch in part.stretches] == [
        tuple(range(first, min(first + 3, 20))) for first in range(0, 20, 3)
    ]
    assert [text for part in parts for text in part.documents()] == texts
    assert str(parts[1]) == f"{file} from row 31"


@pytest.mark.parametrize("columns", [{"a": [{"b": "x" * 100}] * 8}, {"a.b": ["x" * 100] * 8}])
def test_a_name_with_a_dot_is_divided_and_read_like_another(file: Path, columns: dict[str, Any]) -> None:
    written(file, columns, row_group_size=2, use_dictionary=False)
    parts = FileDocuments((file,), rows=RowReader("a.b"), part_bytes=300).parts()
    assert [list(part.documents()) for part in parts] == [["x" * 100] * 2] * 4


def test_a_row_group_that_is_larger_than_a_part_is_one(file: Path) -> None:
    written(file, {"text": ["x" * 1000 + str(i) for i in range(8)]}, row_group_size=2)
    assert len(FileDocuments((file,), part_bytes=10).parts()) == 4


def test_only_the_columns_that_are_needed_are_read_and_a_batch_at_a_time(file: Path) -> None:
    written(file, {"text": ["t" * 1000] * 50, "n": [1] * 50}, use_dictionary=False)
    with mock.patch("stlm.data.sources.parquet._BATCH_BYTES", 10_000):
        ((stretch,),) = [part.stretches for part in FileDocuments((file,)).parts()]
    assert isinstance(stretch, ParquetRows)
    assert stretch.columns == ("text",)
    assert 1 <= stretch.batch_rows <= 10
    assert [row for _, row in stretch.read()] == [{"text": "t" * 1000}] * 50


def test_templates_fill_in_structs_and_numbers(file: Path) -> None:
    written(file, {"a": [{"b": "x", "c": 1}, {"b": "y", "c": 2}], "n": [0.5, 2.0]})
    assert read(file, template="{a.b} {n}") == ["x 0.5", "y 2.0"]
    assert read(file, prompt_template="{n}", completion_template="{a.c}") == [Example("0.5", "1"), Example("2.0", "2")]


def test_a_file_without_rows_has_no_documents(file: Path) -> None:
    written(file, {"text": pa.array([], pa.string())})
    assert read(file) == []


@pytest.mark.parametrize(
    ("columns", "options", "says"),
    [
        ({"txet": ["x"], "n": [1]}, {}, "no column `text` (set `text_column`, or `template`); the columns are: `txet`, "
         "`n`; did you mean `txet`?"),
        ({"a": ["x"]}, {"template": "{b}"}, "no column `b`; the columns are: `a`"),
    ],
)  # fmt: skip
def test_a_missing_column_is_told_before_anything_is_read(
    file: Path, columns: dict[str, Any], options: dict[str, str], says: str
) -> None:
    written(file, columns)
    with pytest.raises(UsageError) as caught:
        FileDocuments((file,), rows=RowReader(**options)).parts()
    assert str(caught.value) == f"{file}: {says}"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["x", "y", "z", None], "column `text` holds null, not a string"),
        ([1, 2, 3, 4], 'column `text` holds a number, not a string; `template: "{text}"` writes it as text'),
        ([b"\xff"] * 4, "column `text` holds bytes, not a string"),
    ],
)
def test_a_bad_row_is_placed_by_its_number_in_the_whole_file(file: Path, values: list[Any], says: str) -> None:
    written(file, {"text": values}, row_group_size=2)
    last = FileDocuments((file,), part_bytes=1).parts()[-1]
    with pytest.raises(WorkError) as caught:
        list(last.documents(skip=1))
    assert str(caught.value) == f"{file}: row 4: {says}"


def test_a_text_that_is_not_utf8_is_one_line(file: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"b", b"a\xff"], pa.binary()).buffers())
    written(file, {"text": bad})
    with pytest.raises(WorkError) as caught:
        read(file)
    assert str(caught.value) == f"{file}: row 3: column `text` holds a text that is not UTF-8 (byte 0xff)"


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.duration("s")])
def test_a_value_that_python_cannot_hold_is_placed(file: Path, kind: Any) -> None:
    written(file, {"text": ["a", "b", "c"], "when": pa.array([0, 1, 2**62], kind)}, row_group_size=2)
    with pytest.raises(WorkError, match=r"row 3: column `when` holds a value of type .* that cannot be read") as caught:
        read(file, template="{text} {when.x}")
    assert str(caught.value).startswith(f"{file}: ")


@pytest.mark.parametrize("damage", [b"", b"no parquet", b"PAR1" + b"x" * 40 + b"PAR1"])
def test_a_damaged_file_is_one_line(file: Path, damage: bytes) -> None:
    file.write_bytes(damage)
    with pytest.raises(WorkError) as caught:
        read(file)
    assert str(caught.value).startswith(f"cannot read `{file}` as Parquet: ")
    assert "\n" not in str(caught.value)


def test_a_long_row_is_told_of_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    long = "é" * 9_000_000
    written(file, {"text": ["short", long, "short", long], "unread": [long] * 4})
    with caplog.at_level(logging.WARNING):
        documents = read(file)
    assert [len(document) for document in documents[::2]] == [5, 5]
    assert caplog.messages == [f"{file}: row 2: this row has 18.0 MB, and is held in memory"]


def test_many_short_rows_are_no_long_one(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONG_BYTES", 8)
    written(file, {"in": [{"a": "abcd", "b": ["é", "ü"]}] * 9 + [{"a": "abcd", "b": ["é", "ü", "x"]}]})
    with caplog.at_level(logging.WARNING):
        read(file, template="{in.a}")
    assert caplog.messages == [f"{file}: row 10: this row has 0.0 MB, and is held in memory"]
