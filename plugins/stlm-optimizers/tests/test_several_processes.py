"""Several processes take the steps that one takes, replicated and shared out, and one goes on from what they stored."""

import shutil
from pathlib import Path

import pytest

import stlm
from stlm.data.preparation.prepare import prepare
from stlm.testing import losses, seen_by_each
from stlm.training import loop
from stlm.training.checkpoint import latest_checkpoint
from stlm.training.folder import RunFolder

RANKS = Path(__file__).with_name("ranks.py")
NAMES = ("lion", "muon", "schedule_free", "soap")
STOP, STEPS = 3, 6
TOLERANCE = 1e-5
"""Gradients are sums over rows in another order, in 32 bits; losses differ by 4e-8 where they do."""

each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def seen(tmp_path_factory, small_in, whole):
    """The folder of the runs, the specs, the losses of one process, and what each of two has seen, all in one start."""
    root = tmp_path_factory.mktemp("ranks")
    alone = {name: losses(whole(name)) for name in NAMES}
    specs = {name: small_in(root, name) for name in NAMES}
    return root / "out", specs, alone, seen_by_each(RANKS, specs, root)


@pytest.mark.parametrize(
    ("name", "parallel", "steps"),
    [("muon", "ddp", STOP), ("schedule_free", "ddp", STOP), *((name, "fsdp", STEPS) for name in NAMES)],
)
def test_two_processes_take_the_steps_of_one(seen, name, parallel, steps):
    """Those that are shared out were stopped in between, and went on."""
    _, _, alone, told = seen
    for one in told:
        assert one[name][parallel] == pytest.approx(alone[name][:steps], rel=TOLERANCE)


@pytest.mark.parametrize(("name", "least", "most"), [("lion", 1, 1), ("schedule_free", 3, 3), ("muon", 1, 2)])
def test_what_belongs_to_an_element_is_held_where_the_element_is(seen, name, least, most):
    """Of the network, a process holds half, or a little more where a row is left over."""
    _, specs, _, told = seen
    total = stlm.compile(specs[name], "meta").report.parameters.total
    for one in told:
        parameters, state = one[name]["held"]
        assert parameters < 0.55 * total
        assert least * parameters <= state <= most * parameters


@each
def test_one_process_goes_on_from_what_two_have_stored(seen, name, tmp_path):
    root, specs, alone, _ = seen
    shutil.copytree(root / f"{name}-fsdp", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / f"step-{STEPS}")
    spec = specs[name]
    program, folder = stlm.compile(spec, "cpu"), RunFolder(tmp_path / "run", spec.general.paths)
    checkpoint = latest_checkpoint(folder.checkpoints)
    assert checkpoint.step == STOP
    data = prepare(spec, program.tokenizer)
    run = loop.train(spec.trainer.build(program, folder=folder, data=data, checkpoint=checkpoint))
    assert run.step == len(alone[name])
    course = [line["loss"] for line in folder.read_metrics() if line["split"] == "train"]
    assert course[STOP:] == pytest.approx(alone[name][STOP:], rel=TOLERANCE)
