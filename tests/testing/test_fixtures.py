"""What the tests of a package begin with: a run that goes on is told from one that does not."""

import pytest
import torch

import stlm
from stlm.testing import A_FEW_STEPS, goes_on, trained_by_command


def test_a_run_that_goes_on_is_the_run_that_never_stopped(tiny_spec):
    goes_on(trained_by_command(tiny_spec(*A_FEW_STEPS)))


def test_one_whose_optimizer_loads_nothing_is_not(tiny_spec, monkeypatch):
    run = stlm.train(tiny_spec(*A_FEW_STEPS))
    monkeypatch.setattr(torch.optim.Optimizer, "load_state_dict", lambda self, state: None)
    with pytest.raises(AssertionError):
        goes_on(run)


def test_with_one_checkpoint_there_is_nothing_to_go_on_from(tiny_spec):
    run = stlm.train(tiny_spec(*A_FEW_STEPS, "trainer.checkpoint_interval=4"))
    with pytest.raises(AssertionError, match="two are needed"):
        goes_on(run)
