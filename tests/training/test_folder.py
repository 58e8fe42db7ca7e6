"""Where a run's files stand, and that no run takes another's place."""

from pathlib import Path
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


def test_a_new_run_comes_after_all_of_its_name_though_one_was_removed(tmp_path):
    first, _ = (RunFolder.create("run", paths(tmp_path)) for _ in range(2))
    first.remove()
    assert RunFolder.create("run", paths(tmp_path)).root.name == "run-3"


def test_a_folder_has_its_name_only_when_all_is_in_it(tmp_path, monkeypatch):
    seen = []
    plain = Path.rename
    monkeypatch.setattr(Path, "rename", lambda old, new: seen.append((old, (old / "f").read_text())) or plain(old, new))
    folder = RunFolder.create("run", paths(tmp_path), {"f": "whole"})
    assert (folder.root / "f").read_text() == "whole"
    ((temporary, content),) = seen
    assert temporary.name.startswith(".run.")
    assert content == "whole"


@pytest.mark.parametrize("key", ["checkpoint_dir", "eval_dir"])
@pytest.mark.parametrize("place", [".", "..", "a/../..", "a\0b", "/dev/null", "f"])
def test_a_place_that_cannot_be_leaves_nothing(tmp_path, key, place):
    with pytest.raises((UsageError, WorkError)):
        RunFolder.create("run", paths(tmp_path, **{key: place}), {"f": ""})
    assert not (tmp_path / "o").exists() or not list((tmp_path / "o").iterdir())


def test_records_without_a_step_are_left_out(tmp_path, caplog):
    folder = RunFolder.create("run", paths(tmp_path))
    folder.metrics.write_text('{"step": 1}\n{"step": "x"}\n[3]\n' + "[" * 100_000 + '\n{"step": 2}\n')
    assert folder.read_metrics() == [{"step": 1}, {"step": 2}]
    assert "no record of a step" in caplog.text
