"""Finding data files."""

import os
from pathlib import Path

import pytest

from stlm.data.sources.finding import find_files, kind_of, passed_over
from stlm.spec.errors import UsageError, WorkError


def written(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def fails(path: Path) -> str:
    with pytest.raises((UsageError, WorkError)) as caught:
        find_files(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("a.txt", ".txt"), ("a.jsonl", ".jsonl"), ("a.ndjson", ".jsonl"), ("a.parquet", ".parquet")),
        *(("a.txt.gz", ".txt"), ("a.b.jsonl.zst", ".jsonl"), ("a.ndjson.gz", ".jsonl")),
        *(("a.parquet.gz", None), ("a.gz", None), ("a.csv", None), ("txt", None), ("a.json", None)),
    ],
)
def test_a_name_says_how_a_file_is_read(name: str, kind: str | None) -> None:
    assert kind_of(Path(name)) == kind


def test_a_folder_gives_its_files_sorted_by_name_at_any_depth(tmp_path: Path) -> None:
    names = ["b.txt", "a/z.txt", "a/b/c.parquet", "c.jsonl.gz", "README.md", ".hidden/x.txt", "a/.y.txt", "data.json"]
    for name in names:
        written(tmp_path / name)
    found = [str(file.relative_to(tmp_path)) for file in find_files(tmp_path)]
    assert found == ["a/b/c.parquet", "a/z.txt", "b.txt", "c.jsonl.gz"]


def test_what_is_passed_over_is_listed_but_for_what_is_hidden(tmp_path: Path) -> None:
    for name in ["b.txt", "a/z.md", "a/b/c.csv", ".hidden/x.md", "a/.y.md"]:
        written(tmp_path / name)
    assert [str(file) for file in passed_over(tmp_path)] == ["a/b/c.csv", "a/z.md"]


def test_links_are_followed(tmp_path: Path) -> None:
    written(tmp_path / "elsewhere" / "x.txt")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "y.txt").symlink_to(tmp_path / "elsewhere" / "x.txt")
    assert find_files(folder) == (folder / "linked" / "x.txt", folder / "y.txt")


def test_a_folder_within_itself_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "a" / "x.txt")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert fails(tmp_path) == f"folder `{tmp_path}/a/loop` is a link to `{tmp_path}`, which holds it"


def test_a_pipe_and_a_link_to_nowhere_are_refused(tmp_path: Path) -> None:
    pipe, lost = tmp_path / "pipes" / "a.txt", tmp_path / "links" / "a.txt"
    pipe.parent.mkdir()
    lost.parent.mkdir()
    os.mkfifo(pipe)
    lost.symlink_to(tmp_path / "gone.txt")
    assert "but a pipe or a device" in fails(pipe)
    assert fails(pipe.parent) == fails(pipe)
    assert fails(lost.parent) == f"`{lost}` is a link to what is not there"
    lost.unlink()
    lost.symlink_to(lost.name)
    assert fails(lost.parent) == f"`{lost}` is a link to what is not there", "but to itself"


def test_a_missing_path_is_named_with_where_it_was_looked_for(tmp_path: Path) -> None:
    assert fails(tmp_path / "no.txt").endswith(f"(looked in `{Path.cwd()}`)")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    message = fails(written(tmp_path / "a.csv"))
    assert message.startswith(f"`{tmp_path}/a.csv` is no kind of data that is read here; those are: .txt, .jsonl")


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "README.md")
    assert "holds no file that ends in .txt, .jsonl" in fails(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="everything can be read by root")
def test_a_folder_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    assert fails(tmp_path).startswith("cannot read")


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    assert "a" * 300 in fails(tmp_path / ("a" * 300))
