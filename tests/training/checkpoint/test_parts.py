"""Parts of a run with a state of their own: it is stored, and they get it back."""

from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from stlm.compiler import compile
from stlm.data.preparation.prepare import prepare
from stlm.data.serving.loader import WindowLoader
from stlm.experiments.train import train
from stlm.registry import component, hook
from stlm.registry.loading import parse_spec
from stlm.spec import WorkError
from stlm.training import loop
from stlm.training.checkpoint import latest_checkpoint
from stlm.training.checkpoint.parts import stateful_parts
from stlm.training.folder import RunFolder


class Remembering:
    """A loader that knows which batches it gave."""

    def __init__(self, loader: Any) -> None:
        self.loader, self.given = loader, []

    def batch(self, step: int, micro_step: int) -> Any:
        self.given.append((step, micro_step))
        return self.loader.batch(step, micro_step)

    def state_dict(self) -> dict[str, Any]:
        return {"given": self.given, "at": torch.tensor([len(self.given)])}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state["at"].tolist() == [len(state["given"])]
        self.given[:] = state["given"]


@component("dataloader", "remembering")
class RememberingLoader:
    """Batches that are remembered."""

    def build(self, trainer: Any, tokens: Any, sampling: Any, window: int) -> Any:
        """Build the loader."""
        step = trainer.batch_size, trainer.gradient_accumulation_steps
        return Remembering(WindowLoader(tokens, sampling, window, *step))


@component("lr_scheduler", "counting")
class Counting:
    """A flat rate, by a component that counts steps."""

    steps: ClassVar[list[int]] = []
    unsayable: ClassVar[list[Any]] = []

    def build(self, trainer: Any) -> Any:
        """Give the rate."""
        return lambda step: 0.01

    @hook
    def step_ends(self, run: Any) -> None:
        """Count."""
        self.steps.append(run.step)

    def state_dict(self) -> dict[str, Any]:
        """Say what was counted."""
        return {"steps": self.steps, "more": self.unsayable}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self.steps[:] = state["steps"]


@pytest.fixture
def build(tiny_spec, with_plugins, tmp_path):
    """Make the state of a run with parts that remember, at its latest checkpoint if it has one."""
    registry = with_plugins({"toy": [RememberingLoader, Counting]})
    Counting.steps.clear()
    Counting.unsayable.clear()

    def make(*overrides: str) -> Any:
        text = tiny_spec("trainer.log_interval=100").source_text.replace("warmup_iters: 2", "")
        chosen = ("trainer.dataloader=remembering", "trainer.lr_scheduler=counting", *overrides)
        spec = parse_spec(text, chosen, registry=registry)
        program = compile(spec, "cpu")
        folder = RunFolder(tmp_path / "run", spec.general.paths)
        folder.evals.mkdir(parents=True, exist_ok=True)
        found = latest_checkpoint(folder.checkpoints)
        return spec.trainer.build(program, folder=folder, data=prepare(spec, program.tokenizer), checkpoint=found)

    return make


BOTH_MICRO_BATCHES = [(step, micro) for step in range(5) for micro in range(2)]


def test_a_loader_and_a_component_get_their_state_back(build):
    loop.train(build("trainer.max_iters=5"))
    Counting.steps.clear()
    again = build("trainer.max_iters=7")
    assert again.step == 5
    assert again.loader.given == BOTH_MICRO_BATCHES
    assert Counting.steps == [1, 2, 3, 4, 5]


def test_a_sampling_may_have_the_state_in_the_loaders_place(tiny_spec):
    sampling = Remembering(None)
    loader = WindowLoader(None, sampling, 16, 2, 2)
    run = SimpleNamespace(loader=loader, spec=tiny_spec())
    assert stateful_parts(run) == {"sampling": sampling}


def test_a_state_that_nothing_takes_any_more_is_told_of(build, caplog):
    loop.train(build("trainer.max_iters=5"))
    build("trainer.max_iters=7", "trainer.dataloader=standard")
    assert "step-5 holds a state of `loader`, which this run does not have; it is left out" in caplog.text


def test_what_cannot_be_stored_is_refused_by_name(build):
    Counting.unsayable.append({1})
    with pytest.raises(WorkError, match=r"cannot be stored: `trainer.lr_scheduler.more.0` is a set"):
        loop.train(build("trainer.max_iters=5"))


def test_a_run_whose_parts_have_no_state_stores_none(tiny_spec):
    run = train(tiny_spec("trainer.max_iters=2"))
    assert not list(run.checkpoint.folder.glob("components*"))
