"""The package's own specs train by the command line, stop and go on, and are scored by the byte."""

import json
import math
import os
import shutil
import subprocess
import sys

import pytest

import stlm
from stlm.experiments.run import load_run

SHORT = (
    "trainer.max_iters=4",
    "trainer.batch_size=4",
    "trainer.warmup_iters=1",
    "trainer.log_interval=1",
    "trainer.eval_interval=4",
    "trainer.checkpoint_interval=2",
    "trainer.keep_checkpoints=9",
    "trainer.eval.dataset_loss_eval_iters=2",
    "trainer.eval.text_modeling_eval=false",
    "model.hidden_dim=32",
    "model.num_layers=2",
    "model.ffn.ffn_dim=32",
)


@pytest.fixture
def trained(shipped, tmp_path):
    """Train a spec of the package by `stlm train`; give the run."""

    def train(name, *overrides, nproc=None):
        file = tmp_path / name
        file.write_text(shipped(name, *SHORT, *overrides).dump())
        command = [sys.executable, "-m", "stlm", "train", str(file), "--json"]
        command += [] if nproc is None else ["--nproc", str(nproc)]
        path = os.pathsep.join(filter(None, sys.path))
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr
        return load_run(json.loads(done.stdout)["run"])

    return train


def numbers(run, split, name="loss"):
    return [line[name] for line in run.metrics if line["split"] == split]


def assert_goes_on(run):
    """Stopped after step 2 and gone on with, a run takes the same steps; it generates the same without a state."""
    expected = numbers(run, "train")
    assert len(expected) == 4
    shutil.rmtree(run.folder / "checkpoints" / "step-4")
    assert numbers(stlm.train(run.spec, resume=run.folder), "train") == expected
    how = {"max_new_tokens": 12, "temperature": 0}
    assert run.generate("The ", **how) == run.generate("The ", **how, cached=False)


def test_a_plain_core_on_bytes_trains_and_is_scored(trained):
    """A token is a byte: what it costs in nats is, but for the ends of texts, what a byte costs."""
    run = trained("bytes.yaml")
    (loss,), (bits,) = (numbers(run, "val", name) for name in ("loss", "bits_per_byte"))
    assert bits == pytest.approx(loss / math.log(2), rel=2e-3)
    assert_goes_on(run)


def test_patches_train_and_on_two_processes_as_on_one(shipped, trained):
    two = trained("patches.yaml", "trainer.parallel=fsdp", nproc=2)
    alone = stlm.train(shipped("patches.yaml", *SHORT))
    assert numbers(two, "train") == pytest.approx(numbers(alone, "train"), rel=1e-5)
    assert_goes_on(alone)
