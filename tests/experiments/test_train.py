"""From a spec to a run: what is stored, and what is not where it cannot begin."""

import shutil
from pathlib import Path

import attrs
import pytest

from stlm.compiler import compile
from stlm.components.optimizer.adamw import AdamW
from stlm.data.preparation.prepare import prepare
from stlm.experiments.find import earlier_runs
from stlm.experiments.train import train
from stlm.spec import SpecError, UsageError
from stlm.training.folder import RunFolder
from stlm.training.state import TrainingState


def test_a_spec_without_a_trainer_cannot_be_trained(tiny_spec):
    with pytest.raises(SpecError, match=r"error\[missing-key\]"):
        train(attrs.evolve(tiny_spec(), trainer=None))


def test_a_path_is_no_spec_and_one_line_says_what_to_write():
    with pytest.raises(UsageError, match=r"takes a spec, not a str: write `stlm.train\(stlm.load_spec\("):
        train("my.yaml")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_optimizer_that_cannot_be_built_leaves_no_folder(tiny_spec, tmp_path, monkeypatch, elsewhere):
    def fail(*_):
        raise RuntimeError("no such device")

    monkeypatch.setattr(AdamW, "build", fail)
    place = [f"general.paths.checkpoint_dir={tmp_path / 'elsewhere'}"] if elsewhere else []
    with pytest.raises(Exception, match="no such device"):
        train(tiny_spec(*place))
    folders = [tmp_path / "out", tmp_path / "elsewhere"] if elsewhere else [tmp_path / "out"]
    assert [list(folder.iterdir()) for folder in folders] == [[] for _ in folders]


def test_a_run_that_cannot_go_on_keeps_its_folder_and_its_lock(run, tiny_spec, monkeypatch):
    def fail(*_):
        raise RuntimeError("no such device")

    before = run.places.lock.read_bytes()
    monkeypatch.setattr(AdamW, "build", fail)
    with pytest.raises(Exception, match="no such device"):
        train(tiny_spec(), resume=Path(run.folder))
    assert run.places.lock.read_bytes() == before


def test_building_a_run_gives_its_state_and_writes_nothing(tiny_spec, tmp_path):
    spec = tiny_spec(f"general.paths.output_dir={tmp_path / 'built'}")
    program = compile(spec, "cpu")
    folder = RunFolder(tmp_path / "built" / "run", spec.general.paths)
    state = spec.trainer.build(program, folder=folder, data=prepare(spec, program.tokenizer), checkpoint=None)
    assert isinstance(state, TrainingState)
    assert (state.step, state.device, state.precision) == (0, program.device, "fp32")
    assert not (tmp_path / "built").exists()


def test_a_new_run_has_its_lock_from_its_birth(tiny_spec, tmp_path, monkeypatch):
    seen = []

    def fail(*_):
        seen.extend(sorted(path.name for path in (tmp_path / "out").glob("*/*.*") if path.is_file()))
        raise RuntimeError("no such device")

    monkeypatch.setattr(AdamW, "build", fail)
    with pytest.raises(Exception, match="no such device"):
        train(tiny_spec())
    assert {"lock.json", "source.yaml", "spec.yaml"} <= set(seen)


def test_what_was_killed_at_its_birth_is_no_run(tiny_spec, tmp_path):
    first = train(tiny_spec("trainer.max_iters=2"))
    (tmp_path / "out" / ".killed.tmp").mkdir()
    shutil.copy(first.places.lock, tmp_path / "out" / ".killed.tmp")
    assert [run.folder for run in earlier_runs(tmp_path / "out")] == [first.folder]
