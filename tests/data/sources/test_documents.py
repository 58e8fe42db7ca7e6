"""Documents from files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stlm.data.sources.documents import FileDocuments, find_files
from stlm.spec.errors import UsageError, WorkError


def written(path: Path, data: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def read(path: Path, **options: str) -> list[str]:
    return list(FileDocuments(find_files(path), **options).documents())


def test_a_text_file_is_one_document_to_the_byte(tmp_path: Path) -> None:
    text = "  one\r\n\r\ntwo\n\n"
    assert read(written(tmp_path / "a.txt", text)) == [text]


def test_a_text_file_is_divided_where_asked(tmp_path: Path) -> None:
    file = written(tmp_path / "a.txt", "one\n<|end|>\ntwo<|end|>\n<|end|>three\n")
    assert read(file, split_on="<|end|>") == ["one\n", "\ntwo", "three\n"]


def test_a_folder_gives_its_files_sorted_by_name_at_any_depth(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "c.jsonl", "README.md", ".hidden/x.txt", "a/.y.txt"):
        written(tmp_path / name, '{"text": "c"}\n' if name.endswith("jsonl") else name)
    assert read(tmp_path) == ["a/z.txt", "b.txt", "c"]


def test_json_lines_give_a_document_a_row(tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", '{"text": "one\\n"}\n\n{"text": "", "n": 1}\r\n{"text": "three"}')
    assert read(file) == ["one\n", "", "three"]


def test_another_column_can_be_named(tmp_path: Path) -> None:
    assert read(written(tmp_path / "a.jsonl", '{"body": "x"}\n'), text_column="body") == ["x"]


def test_half_a_character_in_json_becomes_a_replacement_character(tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", '{"text": "\\ud83d\\ude42 \\ud83d"}\n')
    assert read(file) == ["🙂 \ufffd"]


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    assert read(written(tmp_path / "a.txt", b"\xef\xbb\xbfone")) == ["one"]
    assert read(written(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"text": "one"}')) == ["one"]


def fails(path: Path, **options: str) -> str:
    with pytest.raises((UsageError, WorkError)) as caught:
        read(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_path_is_named_with_where_it_was_looked_for(tmp_path: Path) -> None:
    assert fails(tmp_path / "no.txt").endswith(f"(looked in `{Path.cwd()}`)")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    assert ".txt, .jsonl" in fails(written(tmp_path / "a.csv", "x"))


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    assert "holds no file" in fails(tmp_path)


def test_what_is_not_utf8_is_placed_to_the_byte(tmp_path: Path) -> None:
    assert "byte 0xff at offset 3" in fails(written(tmp_path / "a.txt", b"\xc3\xa4b\xff"))
    file = written(tmp_path / "a.jsonl", b'{"text": "x"}\n{"text": "\xff"}\n')
    assert f"`{file}` is not UTF-8: byte 0xff at offset 24" in fails(file)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"text": ', "this line is not JSON"),
        ("[1]", "holds a list, not a JSON object"),
        ('{"body": "x", "n": 1}', "no column `text` (set `text_column`); the columns are: `body`, `n`"),
        ("{}", "the columns are: none"),
        ('{"text": null}', "column `text` holds null, not a string"),
        ('{"text": 3}', "column `text` holds a number, not a string"),
        ("[" * 100_000, "this line is not JSON"),
    ],
)
def test_a_bad_row_is_placed_by_file_and_line(tmp_path: Path, line: str, says: str) -> None:
    file = written(tmp_path / "a.jsonl", '{"text": "good"}\n' + line + "\n")
    message = fails(file)
    assert message.startswith(f"{file}:2: ")
    assert says in message


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_whatever_json_can_say_comes_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    import json

    file = tmp_path_factory.mktemp("rows") / "a.jsonl"
    written(file, "".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert read(file) == texts


def test_the_fingerprint_follows_contents_and_options_but_not_the_place(tmp_path: Path) -> None:
    one = written(tmp_path / "a.txt", "one")
    same = written(tmp_path / "elsewhere" / "b.txt", "one")
    prints = [
        FileDocuments((one,)).fingerprint(),
        FileDocuments((one,), split_on="n").fingerprint(),
        FileDocuments((one,), text_column="x").fingerprint(),
        FileDocuments((one, same)).fingerprint(),
        FileDocuments((written(tmp_path / "c.txt", "two"),)).fingerprint(),
        FileDocuments((written(tmp_path / "c.jsonl", "one"),)).fingerprint(),
    ]
    assert FileDocuments((same,)).fingerprint() == prints[0]
    assert len(set(prints)) == len(prints)
    assert prints[0].startswith("sha256:")
