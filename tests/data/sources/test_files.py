"""Parts and fingerprints of documents in files."""

import gzip
import itertools
import json
import os
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stlm.data.sources.files import FileDocuments, FilePart
from stlm.data.sources.finding import find_files
from stlm.data.sources.rows import RowReader
from stlm.data.sources.source import parts_of
from stlm.spec.errors import WorkError

TEXTS = [f"text {i} " + "é" * (i % 7) for i in range(60)]
ROWS = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()


@pytest.fixture
def mixture(tmp_path: Path) -> FileDocuments:
    """Each kind of file, each with the same sixty documents."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.jsonl").write_bytes(ROWS)
    (tmp_path / "b.ndjson.gz").write_bytes(gzip.compress(ROWS))
    (tmp_path / "c.txt").write_text("|".join(TEXTS), encoding="utf-8")
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "d.parquet", row_group_size=8)
    return FileDocuments(find_files(tmp_path), split_on="|", part_bytes=300)


def test_parts_are_read_where_they_are_sent_to_and_give_all_documents_in_order(mixture: FileDocuments) -> None:
    parts = [pickle.loads(pickle.dumps(part)) for part in parts_of(mixture)]
    assert len(parts) > 10
    assert list(itertools.chain(*(part.documents() for part in parts))) == list(mixture.documents())
    assert sorted(mixture.documents()) == sorted(TEXTS * 4)


def test_what_is_skipped_is_the_beginning(mixture: FileDocuments) -> None:
    whole = FileDocuments(mixture.files, split_on="|").parts()
    assert len(whole) == 1
    for part in [*mixture.parts(), *whole]:
        documents = list(part.documents())
        for skip in (0, 1, len(documents) // 2, len(documents), len(documents) + 1):
            assert list(part.documents(skip)) == list(itertools.islice(documents, skip, None))


def test_parts_are_the_same_each_time(mixture: FileDocuments) -> None:
    assert mixture.parts() == mixture.parts()


def test_small_files_are_grouped_until_a_part_is_full(tmp_path: Path) -> None:
    for i in range(10):
        (tmp_path / f"{i}.txt").write_text("x" * 40)
    parts = FileDocuments(find_files(tmp_path), part_bytes=100).parts()
    assert [len(part.stretches) for part in parts] == [2] * 5
    assert [part.size for part in parts] == [80] * 5
    assert str(parts[1]) == f"{tmp_path}/2.txt and 1 more"


def test_a_part_knows_only_its_own_files(tmp_path: Path) -> None:
    for i in range(100):
        (tmp_path / f"{i}.txt").write_text("x" * 100)
    part = FileDocuments(find_files(tmp_path), part_bytes=100).parts()[0]
    assert len(pickle.dumps(part)) < 1000


def test_files_that_are_small_make_one_part_of_usual_size(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(ROWS)
    (part,) = FileDocuments(find_files(tmp_path)).parts()
    assert isinstance(part, FilePart)
    assert part.size == len(ROWS)


@pytest.mark.skipif(os.geteuid() == 0, reason="everything can be read by root")
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.touch(mode=0)
    for act in (FileDocuments((file,)).fingerprint, lambda: list(FileDocuments((file,)).documents())):
        with pytest.raises(WorkError, match=r"cannot read .*: Permission denied"):
            act()


def test_a_file_that_has_gone_is_one_line(tmp_path: Path) -> None:
    for act in (FileDocuments((tmp_path / "a.txt",)).fingerprint, FileDocuments((tmp_path / "a.jsonl",)).parts):
        with pytest.raises(WorkError, match=r"cannot read .*: No such file"):
            act()


def written(path: Path, data: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data)
    return path


def test_the_fingerprint_follows_contents_and_options_but_not_the_place(tmp_path: Path) -> None:
    one, other = written(tmp_path / "a.txt", "one"), written(tmp_path / "elsewhere" / "b.txt", "one")
    sources = [
        *(FileDocuments((one,)), FileDocuments((one,), split_on="n"), FileDocuments((one,), rows=RowReader("x"))),
        *(FileDocuments((one,), rows=RowReader(template="{x}")), FileDocuments((one, other))),
        *(FileDocuments((written(tmp_path / name, "one"),)) for name in ("c.jsonl", "c.parquet", "c.txt.gz")),
        FileDocuments((written(tmp_path / "c.txt", "two"),)),
        FileDocuments((written(tmp_path / "on.txt", "on"), written(tmp_path / "e.txt", "e"))),
    ]
    prints = [source.fingerprint() for source in sources]
    assert len(set(prints)) == len(prints)
    assert FileDocuments((other,)).fingerprint() == prints[0]
    assert FileDocuments((written(tmp_path / "c.ndjson", "one"),)).fingerprint() == prints[5]
    assert FileDocuments((one,), part_bytes=2).fingerprint() == prints[0]
    assert prints[0].startswith("sha256:")


def test_a_file_is_hashed_once_while_it_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stlm.data.sources import files as module

    hashed: list[Path] = []
    monkeypatch.setattr(module, "file_sha256", lambda file: hashed.append(file) or "0")
    file = written(tmp_path / "a.txt", "one")
    os.utime(file, (1, 1))
    for _ in range(3):
        FileDocuments((file,)).fingerprint()
    assert len(hashed) == 1
    os.utime(file, (2, 2))
    FileDocuments((file,)).fingerprint()
    assert len(hashed) == 2


def test_a_file_that_has_just_been_written_is_hashed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stlm.data.sources import files as module

    hashed: list[Path] = []
    monkeypatch.setattr(module, "file_sha256", lambda file: hashed.append(file) or "0")
    file = written(tmp_path / "a.txt", "one")
    for _ in range(3):
        FileDocuments((file,)).fingerprint()
    assert len(hashed) == 3


def test_an_empty_file_has_no_rows_and_is_an_empty_text(tmp_path: Path) -> None:
    files = tuple(written(tmp_path / name, "") for name in ("a.jsonl", "b.txt"))
    source = FileDocuments(files)
    assert list(source.documents()) == [""]
    assert list(FileDocuments(files, split_on="|").documents()) == []


def told(source: FileDocuments, caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    caplog.clear()
    with caplog.at_level("INFO"):
        source.tell()
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_a_folder_tells_what_is_read_of_it_and_what_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path / "a.txt", "x")
    source = FileDocuments(find_files(tmp_path), folder=tmp_path)
    assert told(source, caplog) == [("INFO", f"reading 1 file of `{tmp_path}`, none passed over")]
    written(tmp_path / "notes.md", "x")
    ((_, line),) = told(source, caplog)
    assert line.startswith(
        f"reading 1 file of `{tmp_path}`; 1 passed over, such as `notes.md`: those are read that end"
    )
    assert line.endswith(".ndjson.zst")
    assert told(FileDocuments(source.files), caplog) == []


@pytest.mark.parametrize("separator", ["|\n", "\n\n", "🙂"])
def test_a_separator_that_never_occurs_is_told_as_it_is_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, separator: str
) -> None:
    monkeypatch.setattr("stlm.data.sources.text.BLOCK", 3)
    files = tuple(written(tmp_path / name, "one|two\nthree 🙃\n") for name in ("a.txt", "b.txt"))
    as_written = {"|\n": '"|\\n"', "\n\n": '"\\n\\n"', "🙂": '"🙂"'}[separator]
    ((level, line),) = told(FileDocuments(files[:1], split_on=separator), caplog)
    assert level == "WARNING"
    assert line.startswith(f"`split_documents_on: {as_written}` never occurs in `{files[0]}`")
    written(files[1], f"one|two{separator}three")
    assert told(FileDocuments(files, split_on=separator), caplog) == []
