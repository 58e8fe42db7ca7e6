"""From a spec to a run: what is stored, and what is not where it cannot begin."""

import json
import shutil
from pathlib import Path
from typing import ClassVar

import attrs
import pytest

from stlm.compiler import compile
from stlm.components.optimizer.adamw import AdamW
from stlm.data.preparation.prepare import prepare
from stlm.experiments.find import earlier_runs
from stlm.experiments.train import train
from stlm.nn.norm import RMSNorm
from stlm.registry import component, parse_spec
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


# Components that no package brings: whatever reads a run again asks the registry of the spec


class Toy:
    """A norm that only some tests have."""

    def build(self, model, dim):
        return RMSNorm(dim, eps=model.norm_eps)


class First:
    """A sampler that draws the first token of the vocabulary, and notes it."""

    drawn: ClassVar[list[int]] = []

    def build(self):
        def draw(logits, history, generator):
            self.drawn.append(len(history))
            return logits.new_zeros(logits.shape[:1]).long()

        return draw


@pytest.fixture(scope="session")
def parts():
    return [component("norm", "toy")(Toy), component("sampler", "first")(First)]


@pytest.fixture
def toy_spec(tiny_spec, with_plugins, parts):
    """Resolve the tiny spec, with a norm that is not installed, in the folder of the test."""
    registry = with_plugins({"stlm-toy": parts})

    def make(*overrides):
        chosen = ("trainer.max_iters=4", "trainer.eval_interval=4", "model.attn.normalization=toy", *overrides)
        return parse_spec(tiny_spec().source_text, chosen, registry=registry)

    return make


def test_a_component_that_is_not_installed_is_trained_with_noted_and_reported(toy_spec):
    run = train(toy_spec())
    assert run.step == 4
    assert json.loads(run.places.lock.read_text())["sessions"][0]["plugins"]["stlm-toy"] == "1.0"
    assert "cannot be read here" not in run.places.report.read_text()


def test_a_run_of_a_component_that_is_not_installed_goes_on(toy_spec):
    first = train(toy_spec())
    shutil.rmtree(first.folder / "checkpoints" / "step-4")
    again = train(toy_spec(), resume=first.folder)
    assert (again.folder, again.step) == (first.folder, 4)


def test_a_run_of_a_component_that_is_not_installed_is_repeated_by_its_lock(toy_spec):
    first = train(toy_spec())
    assert train(toy_spec(), locked=first.folder).step == 4
    with pytest.raises(UsageError, match=r"`trainer\.max_iters` was 4 and is 2"):
        train(toy_spec("trainer.max_iters=2", "trainer.warmup_iters=1"), locked=first.folder)


def test_a_run_of_a_component_that_is_not_installed_is_a_start_for_another(toy_spec):
    spec = toy_spec(f"trainer.init_from={train(toy_spec()).folder}")
    second = train(spec)
    assert second.step == 4
    shutil.rmtree(second.folder / "checkpoints")
    lock = json.loads(second.places.lock.read_text())
    second.places.lock.write_text(json.dumps({key: value for key, value in lock.items() if key != "saved"}))
    assert train(spec, resume=second.folder).step == 4, "it begins anew, from the same weights"


def test_a_sampler_that_is_not_installed_is_that_of_the_specs_registry(toy_spec):
    run = train(toy_spec("trainer.eval_interval=100"))
    First.drawn.clear()
    run.generate("The", sampler="first", max_new_tokens=1)
    assert First.drawn == [1]


def test_what_cannot_be_built_names_the_package_of_the_specs_registry(toy_spec, monkeypatch):
    def fail(*_, eps):
        raise RuntimeError("no norm today")

    monkeypatch.setattr(RMSNorm, "__init__", fail)
    with pytest.raises(SpecError, match="norm `toy` of stlm-toy cannot be built: RuntimeError: no norm today"):
        train(toy_spec("model.ffn.normalization=none", "model.lm_head_normalization=none"))
