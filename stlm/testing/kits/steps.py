"""What changes weights, step by step: learning rates, optimizers, and whole runs that stop and go on."""

import contextlib
import copy
import io
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stlm.experiments.train import train
from stlm.registry.manager import installed
from stlm.spec.components import NotFoundError
from stlm.testing.check import check, hold, no_promise
from stlm.testing.subject import Subject
from stlm.testing.tensors import drawn


@check("learning-rates", "lr_scheduler")
def learning_rates(subject: Subject) -> None:
    """The rate of any step, past the last too, is finite, from 0 to the optimizer's `lr`, and somewhere above 0."""
    for max_iters in (2, 3, 40):
        spec = subject.respec(f"trainer.max_iters={max_iters}")
        rate = subject.within(spec).build(spec.trainer)
        rates = [rate(step) for step in range(max_iters + 11)]
        most = spec.trainer.optimizer.lr
        for step, one in enumerate(rates):
            where = f"of {max_iters} steps, the rate of step {step} is {one}"
            hold(math.isfinite(one), where)
            hold(0 <= one <= most * (1 + 1e-12), f"{where}, and should be from 0 to {most}")  # a product may round up
        hold(max(rates[:max_iters]) > 0, f"of {max_iters} steps, no rate is above 0")
        hold(rates == [rate(step) for step in range(max_iters + 11)], "asked again, it gives other rates")


def small_network() -> nn.Module:
    """A module with a matrix and a vector, always the same."""
    linear = nn.Linear(4, 3)
    with torch.no_grad():
        for seed, parameter in enumerate(linear.parameters()):
            parameter.copy_(drawn(*parameter.shape, seed=seed))
    return linear


def descend(optimizer: Any, module: nn.Module, steps: int) -> float:
    """Take steps down a bowl around 1, and give its height before the last."""
    height = torch.zeros(())
    for _ in range(steps):
        optimizer.zero_grad()
        height = sum(((p - 1).square().sum() for p in module.parameters()), torch.zeros(()))
        height.backward()
        optimizer.step()
    return float(height.detach())


def _built(subject: Subject, module: nn.Module) -> Any:
    with torch.random.fork_rng(devices=[]):
        return subject.component.build(subject.spec.trainer, module, "cpu")


@check("takes-every-weight", "optimizer")
def takes_every_weight(subject: Subject) -> None:
    """It is a `torch.optim.Optimizer`, and each trainable weight stands in one of its groups."""
    module = small_network()
    optimizer = _built(subject, module)
    hold(
        isinstance(optimizer, torch.optim.Optimizer),
        f"it builds a {type(optimizer).__name__}, no torch.optim.Optimizer",
    )
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    for name, parameter in module.named_parameters():
        times = held.count(id(parameter))
        hold(times == 1, f"a parameter of the network, `{name}`, stands in its groups {times} times")


@check("descends", "optimizer")
def descends(subject: Subject) -> None:
    """It goes down a bowl: twenty steps lower a convex loss."""
    module = small_network()
    optimizer = _built(subject, module)
    before, after = descend(optimizer, module, 1), descend(optimizer, module, 20)
    hold(after < before, f"after 20 steps down a bowl its height is {after:.4g}, and was {before:.4g}")


@check("optimizer-state", "optimizer")
def optimizer_state(subject: Subject) -> None:
    """One that loads its `state_dict` goes on exactly as if it had not been stopped."""
    module = small_network()
    optimizer = _built(subject, module)
    descend(optimizer, module, 3)
    other_module = copy.deepcopy(module)
    other = _built(subject, other_module)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, its in ((optimizer, module), (other, other_module)):
        descend(one, its, 3)
    pairs = list(zip(module.parameters(), other_module.parameters(), strict=True))
    off = max(float((one - same).detach().abs().max()) for one, same in pairs)
    hold(off == 0, f"stopped and gone on with, weights are {off:.2g} off: something is not in its `state_dict`")


@check("takes-the-rate", "optimizer")
def takes_the_rate(subject: Subject) -> None:
    """A tenth of the learning rate, set on its groups as a schedule does, makes a step shorter."""
    lengths = []
    for share in (1.0, 0.1):
        module = small_network()
        optimizer = _built(subject, module)
        for group in optimizer.param_groups:
            group["lr"] = subject.component.lr * share
        before = [p.detach().clone() for p in module.parameters()]
        descend(optimizer, module, 1)
        pairs = zip(module.parameters(), before, strict=True)
        lengths.append(sum(float((p.detach() - b).square().sum()) for p, b in pairs) ** 0.5)
    hold(0 < lengths[1] < lengths[0], f"a step is {lengths[0]:.4g} long, and {lengths[1]:.4g} at a tenth of the rate")


IN_A_RUN = ("dataset", "datasampling", "dataloader", "loss", "lr_scheduler", "optimizer", "trainer", "hook")
SHORT = (
    "trainer.max_iters=6",
    "trainer.checkpoint_interval=3",
    "trainer.keep_checkpoints=9",
    "trainer.eval_interval=6",
)


@check("trains", *IN_A_RUN)
def trains(subject: Subject) -> None:
    """A run with it takes its steps with finite losses, and the same ones if it is stopped and gone on with."""
    _require_installed(subject)
    if subject.kind == "dataset":
        subject.made(subject.made(subject.component.build, subject.spec).fingerprint)
    with tempfile.TemporaryDirectory(dir=subject.bench.folder) as folder:
        spec = subject.respec(*SHORT, f"general.paths.output_dir={folder}")
        run = _quiet(spec)
        losses = _losses(run)
        hold(run.step == 6, f"a run of 6 steps took {run.step}")
        for step, loss in losses.items():
            hold(math.isfinite(loss), f"at step {step} the loss is {loss}")
        for later in (Path(run.folder) / "checkpoints").glob("step-6"):
            shutil.rmtree(later)
        again = _losses(_quiet(spec, resume=run.folder))
        for step, loss in losses.items():
            other = again.get(step)
            hold(
                other == loss, f"stopped after step 3 and gone on with, the loss of step {step} is {other}, not {loss}"
            )


def _require_installed(subject: Subject) -> None:
    """Training finds its components among those that are installed, whatever registry is looked at."""
    try:
        there = installed().find(subject.kind, subject.name).cls
    except NotFoundError:
        there = None
    if there is not subject.cls:
        no_promise("only what is installed can be trained with, and this was handed over as a class")


def _losses(run: Any) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in run.metrics if line["split"] == "train"}


def _quiet(spec: Any, **how: Any) -> Any:
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        return train(spec, **how)
