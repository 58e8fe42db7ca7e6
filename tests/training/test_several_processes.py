"""What several processes train together is what one trains alone, and a run goes on with any number of them."""

import json
import signal
import subprocess
import sys
import time

import pytest

from stlm.experiments.run import load_run
from stlm.experiments.train import train
from tests.conftest import TINY

TOLERANCE = 1e-5
"""Sums over the rows of a batch are added up in another order, in 32 bits."""


@pytest.fixture
def started(tmp_path, tiny_text):
    """Start ``stlm train`` on the tiny spec, in a folder of its own."""

    def start(name, *settings, nproc=None, spec=None):
        file = tmp_path / f"{name}.yaml"
        file.write_text(TINY.format(text=tiny_text, out=tmp_path / name, data=tiny_text.parent))
        command = [sys.executable, "-m", "stlm", "train", str(spec or file), "--json"]
        command += [] if nproc is None else ["--nproc", str(nproc)]
        command += [part for setting in settings for part in ("--set", setting)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)

    return start


@pytest.fixture
def trained(started):
    """Train the tiny spec to its end; return the folder of the run."""

    def run(name, *settings, **options):
        process = started(name, *settings, **options)
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        return json.loads(out)["run"], err

    return run


def numbers(run, split):
    with open(f"{run}/metrics.jsonl") as file:
        return [record for line in file if (record := json.loads(line))["split"] == split]


def assert_same_course(run, alone):
    """Of the norm of the gradient that is clipped, each process has to know the whole."""
    for split, exact, near in (("train", ("step", "tokens"), ("loss", "grad_norm")), ("val", ("step",), ("loss",))):
        ours, theirs = numbers(run, split), numbers(alone, split)
        assert [[r[key] for key in exact] for r in ours] == [[r[key] for key in exact] for r in theirs]
        for key in near:
            assert [r[key] for r in ours] == pytest.approx([r[key] for r in theirs], rel=TOLERANCE)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_that_share_the_micro_batches(trained, tiny_spec, parallel):
    """Each takes whole micro-batches, for which dropout draws what it draws for one process."""
    alone = train(tiny_spec())
    run, told = trained("two", f"trainer.parallel={parallel}", nproc=2)
    assert_same_course(run, alone.folder)
    assert told.count("step 8/8  loss") == 1  # one of them tells
    assert f" on cpu in fp32 by 2 processes ({parallel}): 8 steps of " in told
    with open(f"{run}/lock.json") as file:
        (session,) = json.load(file)["sessions"]
    assert (session["processes"], session["parallel"]) == (2, parallel)
    left = load_run(run)
    theirs, ours = dict(alone.model.named_parameters()), dict(left.model.named_parameters())
    assert all((ours[name] - theirs[name]).abs().max() < 1e-3 for name in theirs)  # Adam's steps are of size 1e-2


def test_two_processes_that_share_the_rows_of_one_micro_batch(trained, tiny_spec):
    settings = ("trainer.batch_size=4", "trainer.gradient_accumulation_steps=1", "model.ffn.ffn_dropout=0")
    alone = train(tiny_spec(*settings))
    run, _ = trained("rows", *settings, nproc=2)
    assert_same_course(run, alone.folder)


def test_shared_and_tied_parameters_stay_shared_on_shards(trained, tiny_spec):
    settings = ("model.ffn_weight_tying=true", "model.c_proj_weight_tying=true", "trainer.max_iters=4")
    alone = train(tiny_spec(*settings))
    run, _ = trained("shared", *settings, "trainer.parallel=fsdp", nproc=2)
    assert_same_course(run, alone.folder)


@pytest.mark.parametrize(("first", "then"), [("fsdp", None), (None, "fsdp")])
def test_a_run_goes_on_with_another_number_of_processes(started, trained, tiny_spec, first, then):
    """A SIGTERM to what started them all ends the run after its step, with a checkpoint."""
    longer = ("trainer.max_iters=60", "trainer.eval_interval=60")  # an interrupted run does not wait for an evaluation
    alone = train(tiny_spec(*longer))
    settings = (*longer, "trainer.parallel=fsdp")
    process = started("moved", *settings, nproc=first and 2)
    while not (line := process.stderr.readline()).startswith("step  4/60"):
        assert line, "the run ended before its fourth step"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    folder = json.loads(out)["run"]
    with open(f"{folder}/checkpoints/latest") as file:
        assert 4 <= int(file.read().strip().removeprefix("step-")) < 60
    trained("moved", *settings, nproc=then and 2, spec=folder)
    assert_same_course(folder, alone.folder)


def test_a_mistake_is_told_once_and_at_once(started):
    began = time.monotonic()
    process = started("uneven", nproc=3)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    assert err.count("cannot be divided evenly among 3 processes") == 1
    assert time.monotonic() - began < 45
