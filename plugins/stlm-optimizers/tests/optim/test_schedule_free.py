"""The schedule-free optimizer is the library's, and its two points are told from each other to the last bit."""

import pytest
import torch
from schedulefree import AdamWScheduleFree
from stlm_optimizers.optim.schedule_free import ExactScheduleFree
from torch import nn

from stlm.components.lr_scheduler.curves import curve

HOW = {"lr": 0.02, "betas": (0.9, 0.99), "weight_decay": 0.1}


def library(**more):
    def make(params):
        optimizer = AdamWScheduleFree(params, **HOW, **more)
        optimizer.train()
        return optimizer

    return make


def test_a_warmup_by_the_schedule_is_that_of_the_library(compared):
    """`rates` go to both; the library multiplies its own, which are constant, by its own warm-up."""
    rate = curve(0.02, 0.0, warmup=4)

    class Warmed(ExactScheduleFree):
        def step(self):
            self.param_groups[0]["lr"] = rate(self.param_groups[0]["k"])
            super().step()

    pairs = compared([(4, 3), (5,)], lambda p: Warmed(p, **HOW), library(warmup_steps=4))
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)


def trained(steps=3):
    torch.manual_seed(0)
    p = nn.Parameter(torch.randn(5000))
    optimizer = ExactScheduleFree([p], **HOW)
    for _ in range(steps):
        p.grad = torch.randn(5000)
        optimizer.step()
    return p, optimizer


def test_going_to_the_average_and_back_changes_no_bit():
    """The library's own way back, by another interpolation, changes some."""
    p, optimizer = trained()
    before = p.detach().clone()
    for _ in range(3):
        optimizer.eval()
        optimizer.eval()
        assert not torch.equal(p, before)
        optimizer.train()
        optimizer.train()
        assert torch.equal(p, before)
    assert "y" not in optimizer.state[p]
    AdamWScheduleFree.eval(optimizer)
    AdamWScheduleFree.train(optimizer)
    assert not torch.equal(p, before)


def test_the_average_is_the_librarys():
    p, optimizer = trained()
    wanted = p.detach().lerp(optimizer.state[p]["z"], 1 - 1 / 0.9)
    optimizer.eval()
    assert torch.equal(p, wanted)


def test_with_another_beta1_the_training_point_is_worked_out_anew():
    p, optimizer = trained()
    optimizer.eval()
    average = p.detach().clone()
    optimizer.param_groups[0]["betas"] = (0.5, 0.99)
    optimizer.train()
    torch.testing.assert_close(p.detach(), average.lerp(optimizer.state[p]["z"], 0.5))


def test_at_the_average_no_step_is_taken():
    p, optimizer = trained()
    optimizer.eval()
    p.grad = torch.ones(5000)
    with pytest.raises(Exception, match="not in train mode"):
        optimizer.step()
