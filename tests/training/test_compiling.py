"""A compiled network computes what a plain one does, and `auto` compiles where it pays."""

import functools
import importlib.util

import pytest
import torch
from torch._dynamo.utils import counters

from stlm.compiler.processes import Processes
from stlm.training import compiling, objective
from stlm.training.compiling import compile_network, pays, training_seconds
from stlm.training.loop import take_step
from tests.training.test_loop import ONE, TWO


@pytest.fixture
def traced_only(monkeypatch):
    """Compile without a code generator, which takes a minute: what is traced is the same."""
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(objective.torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    yield
    torch._dynamo.reset()


def test_a_compiled_network_takes_the_same_steps(by_hand, traced_only):
    plain, compiled = by_hand([ONE, TWO]), by_hand([ONE, TWO], "trainer.compile=true")
    assert not compile_network(plain)
    assert compile_network(compiled)
    for _ in range(3):
        theirs, ours = take_step(plain), take_step(compiled)
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-6)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-5)
    assert counters["stats"]["unique_graphs"] == 1  # the network in one piece, traced once


def test_what_is_compiled_is_known_by_no_other_name(by_hand, traced_only):
    run = by_hand([ONE], "trainer.compile=true")
    names = list(run.model.state_dict())
    compile_network(run)
    take_step(run)
    assert list(run.model.state_dict()) == names
    assert [name for name, _ in run.model.named_parameters()] == names[: len(list(run.model.parameters()))]


@pytest.mark.parametrize(("wanted", "done"), [("true", True), ("false", False), ("auto", False)])
def test_on_a_cpu_a_network_is_compiled_only_where_that_is_asked_for(by_hand, traced_only, wanted, done):
    assert compile_network(by_hand([ONE], f"trainer.compile={wanted}")) is done


def test_auto_compiles_long_runs_on_cuda_where_a_compiler_is_there(monkeypatch):
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "triton")
    assert pays(cuda, 3600)
    assert not pays(cuda, 300)
    assert not pays(cpu, 10**6)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not pays(cuda, 3600)


def test_the_length_of_a_run_is_told_by_its_operations(by_hand, monkeypatch):
    monkeypatch.setattr(compiling, "known_rate", lambda device, precision: 1e9)
    run = by_hand([ONE], "trainer.max_iters=100")
    run.step = 40  # of a run that goes on, the whole counts
    per_token = run.program.report.flops_per_token["training"]
    assert training_seconds(run) == pytest.approx(per_token * (2 * 16) * 100 / 0.4e9)
    run.program.processes = Processes(count=2)
    assert training_seconds(run) == pytest.approx(per_token * (2 * 16) * 100 / 0.4e9 / 2)
