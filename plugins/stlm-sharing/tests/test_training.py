"""The package's own specs train by the command line, stop and go on, and on two processes as on one."""

import json
import os
import shutil
import subprocess
import sys

import pytest

import stlm
from stlm.compiler import compile
from stlm.experiments.run import load_run

SHORT = (
    "trainer.max_iters=4",
    "trainer.batch_size=4",
    "trainer.warmup_iters=1",
    "trainer.log_interval=1",
    "trainer.eval_interval=4",
    "trainer.checkpoint_interval=2",
    "trainer.keep_checkpoints=9",
    "trainer.eval.dataset_loss_eval_iters=1",
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


def losses(run):
    return [line["loss"] for line in run.metrics if line["split"] == "train"]


def assert_goes_on(run):
    """Stopped after step 2 and gone on with, a run takes the same steps; and it generates the same without caches."""
    expected = losses(run)
    assert len(expected) == 4
    shutil.rmtree(run.folder / "checkpoints" / "step-4")
    assert losses(stlm.train(run.spec, resume=run.folder)) == expected
    how = {"max_new_tokens": 8, "temperature": 0}
    assert run.generate("The ", **how) == run.generate("The ", **how, cached=False)


def test_shared_networks_train_and_go_on(trained):
    assert_goes_on(trained("shared.yaml"))


def test_looped_blocks_train_and_go_on_and_on_two_processes_as_on_one(shipped, trained):
    """A block is gathered for each of its uses, and its gradient is that of all; sums are in another order."""
    two = trained("looped.yaml", "trainer.parallel=fsdp", nproc=2)
    alone = stlm.train(shipped("looped.yaml", *SHORT))
    assert losses(two) == pytest.approx(losses(alone), rel=1e-5)
    assert_goes_on(alone)


@pytest.mark.parametrize("name", ["shared.yaml", "looped.yaml"])
def test_no_export_takes_it_for_what_it_is_not(shipped, name):
    spec = shipped(name)
    exports = compile(spec, "meta").report.exports
    assert exports.architecture is None
    (blocker,) = [one for one in exports.blockers if one.key == "model.core_model_type"]
    assert blocker.message == f"must be `generic`, not `{spec.model.core_model.selector}`"
