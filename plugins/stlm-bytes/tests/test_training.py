"""The package's own specs train by the command line, stop and go on, and are scored by the byte."""

import math

import pytest

import stlm
from stlm.testing import A_FEW_STEPS, goes_on, trained_by_command

SHORT = (*A_FEW_STEPS, "trainer.eval.dataset_loss_eval_iters=2")
SHORT += ("model.hidden_dim=32", "model.num_layers=2", "model.ffn.ffn_dim=32")


def numbers(run, split, name="loss"):
    return [line[name] for line in run.metrics if line["split"] == split]


def test_a_plain_core_on_bytes_trains_and_is_scored(shipped):
    """A token is a byte: what it costs in nats is, but for the ends of texts, what a byte costs."""
    run = trained_by_command(shipped("bytes.yaml", *SHORT))
    (loss,), (bits,) = (numbers(run, "val", name) for name in ("loss", "bits_per_byte"))
    assert bits == pytest.approx(loss / math.log(2), rel=2e-3)
    goes_on(run)


def test_patches_train_and_on_two_processes_as_on_one(shipped):
    two = trained_by_command(shipped("patches.yaml", *SHORT, "trainer.parallel=fsdp"), nproc=2)
    alone = stlm.train(shipped("patches.yaml", *SHORT))
    assert numbers(two, "train") == pytest.approx(numbers(alone, "train"), rel=1e-5)
    goes_on(alone)
