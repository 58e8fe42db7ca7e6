"""The package's specs train, and runs of them go on as if they had never stopped."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import stlm
from stlm.registry import hook
from stlm.spec import Spec
from stlm.testing import losses
from stlm.training import setup

PACKAGE = Path(__file__).parents[1]
NAMES = ("lion", "muon", "schedule_free", "soap")
STOP, STEPS = 5, 8
"""No checkpoint is due at the first, and one evaluation lies before it."""

each = pytest.mark.parametrize("name", NAMES)


def groups_of(run: Any) -> list[dict[str, Any]]:
    return json.loads((run.checkpoint.folder / "optimizer.json").read_text())["param_groups"]


def tensors_of(run: Any) -> dict[str, torch.Tensor]:
    return load_file(run.checkpoint.folder / "optimizer.safetensors")


class Stop:
    @hook
    def step_ends(self, run):
        run.stop = run.step == STOP


@pytest.fixture(scope="module")
def stopped_once(small_in, tmp_path_factory) -> Callable[[str], Path]:
    """Train a spec up to a step that has no checkpoint by itself; return the run's folder."""

    @cache
    def run(name: str) -> Path:
        plain = setup.lifecycle
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(setup, "lifecycle", lambda *plugins, **how: plain(*plugins, Stop(), **how))
            return stlm.train(small_in(tmp_path_factory.mktemp(name), name)).folder

    return run


@pytest.fixture
def gone_on(stopped_once, small_in, tmp_path) -> Callable[..., Any]:
    """Go on with a run that was stopped, in a copy of it, with options of the optimizer that may be others."""

    def run(name: str, **options: Any) -> Any:
        folder = stopped_once(name)
        copied = shutil.copytree(folder, tmp_path / "out" / folder.name)
        keys = {f"trainer.optimizer.{key}": value for key, value in options.items()}
        spec: Spec = small_in(tmp_path, name, *(f"{key}={value}" for key, value in keys.items()))
        return stlm.train(spec, resume=copied, allow_changed=[*keys])

    return run


def test_there_is_a_spec_for_each_optimizer():
    assert sorted(path.stem for path in PACKAGE.glob("*.yaml")) == sorted(NAMES)


@each
def test_its_spec_trains_by_the_command_line(whole, name):
    course = losses(whole(name))
    assert len(course) == STEPS
    assert course[-1] < course[0]


@each
def test_a_run_that_goes_on_is_the_run_that_never_stopped(whole, gone_on, name):
    """To the last bit, in what it computes and in what it stores."""
    one, other = whole(name), gone_on(name)
    assert losses(other) == losses(one)
    one, other = (run.checkpoint.folder for run in (one, other))
    for file in ("model.safetensors", "optimizer.safetensors"):
        tensors, same = load_file(one / file), load_file(other / file)
        assert tensors.keys() == same.keys()
        assert [key for key, tensor in tensors.items() if not torch.equal(tensor, same[key])] == []
    assert (one / "optimizer.json").read_bytes() == (other / "optimizer.json").read_bytes()


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("lion", {"beta1": 0.5, "weight_decay": 0.7}, {"betas": {"$tuple": [0.5, 0.99]}, "weight_decay": 0.7}),
        ("muon", {"momentum": 0.5, "ns_steps": 3}, {"momentum": 0.5, "ns_steps": 3}),
        ("schedule_free", {"beta1": 0.5, "weight_decay": 0.7}, {"betas": {"$tuple": [0.5, 0.95]}, "weight_decay": 0.7}),
        ("soap", {"precondition_frequency": 1, "beta1": 0.5}, {"precondition_frequency": 1}),
    ],
)
def test_a_run_that_goes_on_with_other_options_trains_with_them(whole, gone_on, name, options, told):
    run = gone_on(name, **options)
    group = groups_of(run)[0]
    assert {key: group[key] for key in told} == told
    assert losses(run)[:STOP] == losses(whole(name))[:STOP]
    assert losses(run)[-1] != losses(whole(name))[-1]


def test_adamws_share_of_the_rate_is_that_of_the_spec_a_run_goes_on_with(whole, gone_on):
    shares = [
        [group.get("lr_scale", 1.0) for group in groups_of(run)]
        for run in (whole("muon"), gone_on("muon", adamw_lr=0.003))
    ]
    assert shares == [[1.0] * 3, [1.0, *[pytest.approx(0.003 / 0.024)] * 2]]


def test_the_model_that_is_stored_and_left_is_the_average(whole):
    run = whole("schedule_free")
    state = tensors_of(run)
    for name, average in load_file(run.checkpoint.folder / "model.safetensors").items():
        training, fast = state[f"optimizer.state.{name}.y"], state[f"optimizer.state.{name}.z"]
        torch.testing.assert_close(training, average.lerp(fast, 0.1))
        assert not torch.equal(training, average)


@pytest.mark.parametrize("name", ["lion", "muon", "soap"])
def test_a_dry_run_counts_what_an_optimizer_keeps(small, whole, name):
    """But for the numbers of steps that AdamW counts, 4 bytes a parameter."""
    stored = sum(one.nbytes for key, one in tensors_of(whole(name)).items() if not key.endswith(".step"))
    assert stlm.compile(small(name), "meta").report.memory.optimizer == stored


def test_a_dry_run_counts_two_of_the_three_tensors_that_a_checkpoint_has_of_an_average(small, whole):
    """The training point is kept apart only where the weights are looked at or stored."""
    stored = sum(one.nbytes for one in tensors_of(whole("schedule_free")).values())
    assert stlm.compile(small("schedule_free"), "meta").report.memory.optimizer == stored * 2 / 3


def test_a_gradient_is_clipped_to_the_norm_that_the_spec_says(small, whole):
    """Lion's momentum is a mean of gradients, no longer than the longest of them."""
    clipped = stlm.train(small("lion", "trainer.optimizer.grad_clip=0.01"))
    lengths = [
        sum(float(one.square().sum()) for one in tensors_of(run).values()) ** 0.5 for run in (clipped, whole("lion"))
    ]
    assert lengths[0] < 0.01 < lengths[1]
