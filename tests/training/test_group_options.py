"""What of an optimizer's groups comes from the spec when a run goes on, and what from its checkpoint."""

import copy
import json

import pytest
import torch

from stlm.experiments.train import train
from stlm.registry import hook
from stlm.training.group_options import changed_options, group_options, with_built_options


class Counting(torch.optim.SGD):
    """Plain descent that counts its steps where its options are, as schedule-free optimizers do."""

    def __init__(self, params, **options):
        super().__init__(params, **options)
        for group in self.param_groups:
            group["steps"] = 0

    def step(self):
        super().step()
        for group in self.param_groups:
            group["steps"] += 1
            group["seen"] = torch.tensor([group["steps"]])


def made(kind=Counting, **options):
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = kind([parameter], **options)
    return optimizer, group_options(optimizer)


def stepped(optimizer):
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()


def gone_on(before, built_before, now, built_now):
    """Load the state of one optimizer into another as a checkpoint does; return the group."""
    changed = changed_options(before, built_before)
    now.load_state_dict(with_built_options(copy.deepcopy(before.state_dict()), changed, built_now))
    return now.param_groups[0]


def test_what_was_built_comes_from_build_and_what_was_counted_from_the_checkpoint():
    before, built = made(lr=0.1, weight_decay=0.5)
    stepped(before)
    assert changed_options(before, built) == [["steps", "seen"]]
    group = gone_on(before, built, *made(lr=0.1, weight_decay=0.25, nesterov=True, momentum=0.9))
    assert (group["weight_decay"], group["nesterov"], group["momentum"]) == (0.25, True, 0.9)
    assert (group["steps"], group["seen"].tolist()) == (1, [1])


def test_what_was_changed_in_an_earlier_session_is_still_state_in_a_later_one():
    first, built_first = made(lr=0.1)
    stepped(first)
    second, built_second = made(lr=0.1)
    gone_on(first, built_first, second, built_second)
    assert changed_options(second, built_second) == [["steps", "seen"]]
    stepped(second)
    assert gone_on(second, built_second, *made(lr=0.1))["steps"] == 2


def test_all_of_a_group_that_was_added_is_state():
    optimizer, built = made(torch.optim.SGD, lr=0.1)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.3})
    none, every = changed_options(optimizer, built)
    assert (none, set(every)) == ([], set(optimizer.param_groups[1]) - {"params"})


def test_a_checkpoint_of_one_kernel_goes_on_with_that_of_the_device():
    """As from a CPU, where the moments are updated tensor by tensor, to CUDA, where AdamW is fused."""
    before, built = made(torch.optim.AdamW, lr=0.1, foreach=True)
    stepped(before)
    fused, built_fused = made(torch.optim.AdamW, lr=0.1, fused=True)
    group = gone_on(before, built, fused, built_fused)
    assert (group["fused"], group["foreach"]) == (True, None)
    with torch.no_grad():
        for ours, theirs in zip(group["params"], before.param_groups[0]["params"], strict=True):
            ours.copy_(theirs)
    stepped(before)
    stepped(fused)
    torch.testing.assert_close(group["params"], before.param_groups[0]["params"])


class Stop:
    @hook
    def step_ends(self, run):
        run.stop = run.step == 4


def test_a_run_that_goes_on_with_other_options_trains_with_them(tiny_spec, monkeypatch):
    from stlm.training import setup

    plain = setup.lifecycle
    with monkeypatch.context() as patched:
        patched.setattr(setup, "lifecycle", lambda *plugins, **how: plain(*plugins, Stop(), **how))
        first = train(tiny_spec())
    keys = {"weight_decay": 0.9, "beta1": 0.5}
    changed = tiny_spec(*(f"trainer.optimizer.{key}={value}" for key, value in keys.items()))
    second = train(changed, resume=first.folder, allow_changed=[f"trainer.optimizer.{key}" for key in keys])
    groups = json.loads((second.checkpoint.folder / "optimizer.json").read_text())["param_groups"]
    assert [group["weight_decay"] for group in groups] == [0.9, 0.0]
    assert [group["betas"] for group in groups] == [{"$tuple": [0.5, 0.999]}] * 2
    undisturbed = train(tiny_spec(), resume=False)
    ours, theirs = (run.metrics[-2]["loss"] for run in (second, undisturbed))
    assert ours != pytest.approx(theirs, rel=1e-6)
