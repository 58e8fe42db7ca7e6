"""Where a run's files stand, and that no run takes another's place."""

from types import SimpleNamespace

import pytest

from stlm.spec import UsageError, WorkError
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


def test_a_folder_that_is_removed_leaves_its_name_free(tmp_path):
    places = paths(tmp_path, checkpoint_dir=str(tmp_path / "elsewhere"))
    RunFolder.create("run", places).remove()
    assert RunFolder.create("run", places).root.name == "run"


def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    folder = RunFolder.create("run", paths(tmp_path))
    with folder.held(), pytest.raises(UsageError, match="another process is training"), folder.held():
        pass
    with folder.held():
        pass
