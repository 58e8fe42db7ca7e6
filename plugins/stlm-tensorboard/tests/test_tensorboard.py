"""The event files say what metrics.jsonl says, read back by TensorBoard itself."""

import json
import os
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import stlm
from stlm.registry import hook
from stlm.spec import Code, SpecError, UsageError
from stlm.training import setup

pytest.importorskip("tensorboard", reason="tensorboard is not installed")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SHORT = ("trainer.max_iters=12", "trainer.eval_interval=6", "trainer.checkpoint_interval=4")


def shown(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The curves that TensorBoard shows: the step and the value of each point, by name."""
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {
        name: [(event.step, event.value) for event in accumulator.Scalars(name)]
        for name in accumulator.Tags()["scalars"]
    }


def logged(run: Any) -> dict[str, list[tuple[int, float]]]:
    """The same of metrics.jsonl; TensorBoard keeps values as 32-bit floats."""
    curves = defaultdict(list)
    for line in run.metrics:
        for name, value in line.items():
            if name not in ("step", "split"):
                curves[f"{line['split']}/{name}"].append((line["step"], pytest.approx(value, rel=1e-6)))
    return dict(curves)


def test_the_curves_are_those_of_the_metrics(shipped):
    run = stlm.train(shipped("watched.yaml", *SHORT))
    curves = shown(run.folder / "tensorboard")
    assert curves == logged(run)
    assert [step for step, _ in curves["train/loss"]] == [2, 4, 6, 8, 10, 12]
    assert [step for step, _ in curves["val/loss"]] == [6, 12]


def test_a_run_that_goes_on_shows_each_step_once(shipped):
    """The latest checkpoint is taken away, as if the run had been killed while it wrote that."""
    first = stlm.train(shipped("watched.yaml", *SHORT, "trainer.keep_checkpoints=9"))
    before = shown(first.folder / "tensorboard")
    shutil.rmtree(first.folder / "checkpoints" / "step-12")
    shutil.rmtree(first.folder / "checkpoints" / "step-8")
    spec = shipped("watched.yaml", *SHORT, "trainer.keep_checkpoints=9", "general.tensorboard_dir=tensorboard")
    run = stlm.train(spec, resume=first.folder)
    files = list((run.folder / "tensorboard").iterdir())
    curves = shown(run.folder / "tensorboard")
    assert len(files) == 2
    assert curves == logged(run)
    assert curves["train/loss"] == before["train/loss"]


def test_nothing_is_written_where_no_spec_names_it(shipped):
    run = stlm.train(shipped("watched.yaml", *SHORT, "general.hooks=[]"))
    assert not list(run.folder.rglob("events.out.*"))


def test_it_changes_nothing_of_what_is_trained(shipped):
    with_hook, without = (stlm.train(shipped("watched.yaml", *SHORT, *more)) for more in ((), ("general.hooks=[]",)))
    losses = [[line["loss"] for line in run.metrics] for run in (with_hook, without)]
    assert losses[0] == losses[1]


def test_an_absolute_folder_has_one_of_its_own_for_each_run(shipped, tmp_path):
    run = stlm.train(shipped("watched.yaml", *SHORT, f"general.tensorboard_dir={tmp_path / 'events'}"))
    assert shown(tmp_path / "events" / run.folder.name) == logged(run)


def test_a_misspelled_name_is_told_the_nearest(shipped):
    with pytest.raises(SpecError) as caught:
        shipped("watched.yaml", "general.hooks=[tensorbord]")
    (found,) = caught.value.diagnostics
    assert found.code is Code.UNKNOWN_NAME
    assert "`tensorboard`" in found.help[0]


class FillDisk:
    """Makes the disk full from one step to another: the file that is written becomes a device that takes nothing."""

    def __init__(self, full_at, free_at):
        self.full_at, self.free_at = full_at, free_at

    @hook(tryfirst=True)
    def step_ends(self, run):
        (events,) = (plugin for plugin in run.plugins.get_plugins() if type(plugin).__name__ == "Events")
        if run.step == self.full_at:
            self.kept = os.dup(events.file.fileno())
            device = os.open("/dev/full", os.O_WRONLY)
            os.dup2(device, events.file.fileno())
            os.close(device)
        if run.step == self.free_at:
            os.dup2(self.kept, events.file.fileno())
            os.close(self.kept)


@pytest.mark.parametrize("free_at", [9, 99])
def test_a_full_disk_ends_no_run_and_what_it_refused_is_written_later(shipped, monkeypatch, caplog, free_at):
    disk, plain = FillDisk(5, free_at), setup.lifecycle
    monkeypatch.setattr(setup, "lifecycle", lambda *plugins, **how: plain(*plugins, disk, **how))
    run = stlm.train(shipped("watched.yaml", *SHORT))
    assert run.step == 12
    assert caplog.text.count("cannot write events into") == 1
    curves, wanted = shown(run.folder / "tensorboard"), logged(run)
    if free_at < 12:
        assert curves == wanted
    else:
        os.close(disk.kept)
        assert [step for step, _ in curves["train/loss"]] == [2, 4]
        assert "not all events of the run are in" in caplog.text


@pytest.mark.parametrize("said", ["../elsewhere", "a/../../b", "a\0b"])
def test_a_folder_that_is_not_inside_the_run_is_refused(shipped, said):
    with pytest.raises(SpecError) as refused:
        shipped("watched.yaml", f"general.tensorboard_dir={json.dumps(said)}")
    (diagnostic,) = refused.value.diagnostics
    assert (diagnostic.code, diagnostic.key) == (Code.RULE, "general.tensorboard_dir")


def test_a_place_that_holds_a_file_is_the_users_mistake(shipped, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UsageError, match=r"no events can be written into `.*taken/.*`: Not a directory"):
        stlm.train(shipped("watched.yaml", *SHORT, f"general.tensorboard_dir={tmp_path / 'taken'}"))
