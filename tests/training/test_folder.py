"""Where a run's files stand, and that no run takes another's place."""

from types import SimpleNamespace

import pytest

from stlm.spec import WorkError
from stlm.training.files import write_atomically
from stlm.training.folder import RunFolder


def paths(tmp_path, **changed):
    return SimpleNamespace(**{"output_dir": tmp_path / "o", "checkpoint_dir": "c", "eval_dir": "e", **changed})


def test_relative_folders_are_inside_the_run(tmp_path):
    folder = RunFolder.create("run", paths(tmp_path))
    assert folder.checkpoints == tmp_path / "o" / "run" / "c"
    assert folder.evals == tmp_path / "o" / "run" / "e"
    assert folder.checkpoints.is_dir()


def test_absolute_folders_have_a_place_for_each_run(tmp_path):
    places = paths(tmp_path, checkpoint_dir=str(tmp_path / "elsewhere"))
    assert RunFolder.create("run", places).checkpoints == tmp_path / "elsewhere" / "run"


def test_names_are_numbered_and_never_taken_twice(tmp_path):
    names = [RunFolder.create("run", paths(tmp_path)).root.name for _ in range(3)]
    assert names == ["run", "run-2", "run-3"]


def test_a_name_whose_checkpoints_are_elsewhere_is_taken_too(tmp_path):
    places = paths(tmp_path, checkpoint_dir=str(tmp_path / "elsewhere"))
    RunFolder.create("run", places)
    RunFolder.create("run", SimpleNamespace(**{**vars(places), "output_dir": tmp_path / "p"}))
    assert sorted(p.name for p in (tmp_path / "elsewhere").iterdir()) == ["run", "run-2"]


def test_a_file_in_the_place_of_the_folder_is_one_clear_line(tmp_path):
    (tmp_path / "o").write_text("")
    with pytest.raises(WorkError, match="cannot make a folder for the run"):
        RunFolder.create("run", paths(tmp_path))


def test_writing_replaces_a_file_whole_and_leaves_nothing_beside_it(tmp_path):
    for text in ("long text", "short"):
        write_atomically(tmp_path / "f", text)
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_text() == "short"


def test_writing_into_a_folder_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(WorkError, match=r"cannot write .*No such file"):
        write_atomically(tmp_path / "nowhere" / "f", "")
