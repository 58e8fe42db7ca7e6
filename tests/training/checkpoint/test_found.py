"""The checkpoints that stand in a folder: which are whole, the latest, the best, and those that go."""

import json

import pytest

from stlm.training.checkpoint import (
    DamagedError,
    best_checkpoint,
    checkpoint_folders,
    read_checkpoint,
    remove_old,
    were_written,
)


def write_states(folder, losses):
    for step, loss in losses.items():
        (folder / f"step-{step}").mkdir(parents=True)
        state = {"step": step, "tokens_seen": 0, "run": "r", "held_out_loss": loss, "files": {}}
        (folder / f"step-{step}" / "state.json").write_text(json.dumps(state))


def test_the_latest_and_the_best_checkpoints_stay(tmp_path):
    write_states(tmp_path, {9: 3.0, 10: 1.0, 20: 2.0, 30: None, 100: 4.0})
    remove_old(tmp_path, keep=2)
    assert [p.name for p in checkpoint_folders(tmp_path)] == ["step-100", "step-30", "step-10"]
    assert best_checkpoint(tmp_path).step == 10
    assert (tmp_path / "best").read_text() == "step-10\n"


@pytest.mark.parametrize("said", ['{"step": "x", "tokens_seen": 0, "run": "r", "files": {}}', "[" * 100_000, "[]"])
def test_a_state_that_makes_no_sense_is_damage(tmp_path, said):
    (tmp_path / "step-1").mkdir()
    (tmp_path / "step-1" / "state.json").write_text(said)
    with pytest.raises(DamagedError):
        read_checkpoint(tmp_path / "step-1")


def test_a_checkpoint_under_the_name_of_another_step_is_damage(tmp_path):
    write_states(tmp_path, {3: 1.0})
    (tmp_path / "step-3").rename(tmp_path / "step-4")
    with pytest.raises(DamagedError, match="is the checkpoint of step 3 under another name"):
        read_checkpoint(tmp_path / "step-4")


def test_a_half_made_folder_is_no_trace_of_a_checkpoint(tmp_path):
    """A run that was killed while it wrote its first checkpoint has none, and may begin anew."""
    (tmp_path / ".step-10.x1y2.tmp").mkdir()
    assert not were_written(tmp_path)
    (tmp_path / "damaged-step-10-1").mkdir()
    assert were_written(tmp_path)
