"""A folder that a user named appears whole, or not at all, and never over something that is there."""

import pytest

from stlm.data.storage import write_file
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


def _made(folder):
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("there", [True, False])
def test_what_is_put_there_meanwhile_stays(tmp_path, there):
    target = free_place(tmp_path / "a")
    if there:
        target.mkdir()
    says = "is not empty: something was put there meanwhile"
    with pytest.raises(UsageError, match=says), appearing(target):
        write_file(_made(target) / "mine", "")
    assert (left(target), left(tmp_path)) == (["mine"], ["a"])


def test_a_file_that_is_put_there_meanwhile_stays(tmp_path):
    with pytest.raises(WorkError, match=r"cannot write `.*/a`"), appearing(tmp_path / "a"):
        (tmp_path / "a").write_text("mine")
    assert (tmp_path / "a").read_text() == "mine"


def test_the_folder_in_which_one_stands_is_not_taken_from_under_ones_feet(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for place in (".", tmp_path / "here"):
        with pytest.raises(UsageError, match="is the folder in which you are"):
            free_place(place)
    assert free_place("new") == tmp_path / "here" / "new"


def test_a_mount_point_is_refused_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(type(tmp_path), "is_mount", lambda self: self.name == "disk")
    with pytest.raises(UsageError, match="is a mount point; name a folder in it"):
        free_place(tmp_path / "disk")
    assert free_place(tmp_path / "disk" / "new") == tmp_path / "disk" / "new"


@pytest.mark.parametrize("place", ["loop", "dangling", "loop/in", "dangling/in"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path, place):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(UsageError, match="is a link that leads nowhere"):
        free_place(tmp_path / place)


def test_a_user_that_nobody_is_is_a_name_like_any_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert free_place("~nobody-of-this-name") == tmp_path / "~nobody-of-this-name"


def test_where_the_disk_refuses_the_folder_that_was_named_is_named(tmp_path):
    with pytest.raises(WorkError) as error, appearing(tmp_path / "a") as made:
        write_file(made / "not there" / "file", "x")
    assert str(error.value) == f"cannot write `{tmp_path / 'a'}`: No such file or directory"


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
