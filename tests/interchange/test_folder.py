"""A folder that a user named appears whole, or not at all, and never over something that is there."""

import pytest

from stlm.interchange.folder import appearing, free_place
from stlm.spec import UsageError, WorkError


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_appears_when_the_block_ends_well(tmp_path):
    target = free_place(tmp_path / "a" / "b")
    with appearing(target) as made:
        (made / "file").write_text("x")
        assert not target.exists()
    assert (left(target), left(tmp_path / "a")) == (["file"], ["b"])


def stopped(target, error):
    with appearing(target) as made:
        (made / "file").write_text("x")
        raise error


def test_nothing_is_left_where_it_does_not(tmp_path):
    for error in (WorkError("no"), KeyboardInterrupt(), OSError(28, "No space left on device")):
        with pytest.raises(WorkError if isinstance(error, OSError) else type(error)):
            stopped(tmp_path / "a", error)
        assert left(tmp_path) == []


def test_a_link_to_an_empty_folder_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with appearing(free_place(tmp_path / "link")) as made:
        (made / "file").write_text("x")
    assert (tmp_path / "link").is_symlink()
    assert left(tmp_path / "real") == ["file"]


def test_the_folder_in_which_one_stands_may_be_meant(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert free_place(".") == tmp_path / "here"


def test_what_is_taken_is_refused(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    for place, says in (("full", "is not empty"), ("full/x", "is a file"), ("a\0b", "no name of a folder")):
        with pytest.raises(UsageError, match=says):
            free_place(tmp_path / place)


def test_what_another_process_was_faster_to_write_stays(tmp_path):
    target = free_place(tmp_path / "a")
    target.mkdir()
    (target / "mine").write_text("")
    with pytest.raises(UsageError, match="is not empty"), appearing(target):
        pytest.fail("it was given a folder to write into")
    assert left(target) == ["mine"]
    assert left(tmp_path) == ["a"]


def test_two_at_once_are_one_too_many(tmp_path):
    with appearing(tmp_path / "a"), pytest.raises(UsageError, match="another process is writing"):
        stopped(tmp_path / "a", WorkError("it was given a folder to write into"))
    assert left(tmp_path) == ["a"]
