"""What changes weights, step by step: learning rates, optimizers, and whole runs that stop and go on."""

import contextlib
import copy
import io
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stlm.experiments.train import train
from stlm.registry.hookspecs import moments_of
from stlm.testing.checking import check, hold, no_promise
from stlm.testing.kits.network import NETWORK
from stlm.testing.subject import Subject
from stlm.testing.tensors import drawn, tensors_in


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


def wander(optimizer: Any, module: nn.Module, steps: int) -> None:
    """Take steps along drawn gradients, of either sign and others at each step."""
    for seed in range(steps):
        optimizer.zero_grad()
        terms = ((p * drawn(*p.shape, seed=seed)).sum() for p in module.parameters())
        sum(terms, torch.zeros(())).backward()
        optimizer.step()


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
        wander(one, its, 3)  # where gradients keep their signs, one that takes signs alone needs no momentum
    pairs = list(zip(module.parameters(), other_module.parameters(), strict=True))
    off = max(float((one - same).detach().abs().max()) for one, same in pairs)
    hold(off == 0, f"stopped and gone on with, weights are {off:.2g} off: something is not in its `state_dict`")


@check("state-foretold", "optimizer")
def state_foretold(subject: Subject) -> None:
    """The bytes that a dry run foretells for its state (`state_per_parameter`, `state_bytes`) are kept, within 5 %.

    What has one element, such as a count of steps, is left aside.
    """
    program = subject.compiled()
    optimizer = subject.component.build(subject.spec.trainer, program.model, "cpu")
    descend(optimizer, program.model, 2)  # the first of some only looks at its gradient
    held = [t for t in tensors_in(optimizer.state_dict()["state"]) if t.numel() > 1]
    foretold, kept = program.report.memory.optimizer, sum(t.numel() * t.element_size() for t in held)
    hold(
        math.isclose(foretold, kept, rel_tol=0.05),
        f"a dry run foretells {foretold:,} bytes of state, and after two steps it keeps {kept:,}",
    )


@check("takes-the-rate", "optimizer")
def takes_the_rate(subject: Subject) -> None:
    """A tenth of the learning rate, set on its groups as a schedule does, makes steps shorter."""
    lengths = []
    for share in (1.0, 0.1):
        module = small_network()
        optimizer = _built(subject, module)
        for group in optimizer.param_groups:
            group["lr"] = subject.component.lr * share
        before = [p.detach().clone() for p in module.parameters()]
        descend(optimizer, module, 2)  # the first of some only looks at its gradient
        pairs = zip(module.parameters(), before, strict=True)
        lengths.append(sum(float((p.detach() - b).square().sum()) for p, b in pairs) ** 0.5)
    hold(0 < lengths[1] < lengths[0], f"two steps go {lengths[0]:.4g} far, and {lengths[1]:.4g} at a tenth of the rate")


IN_A_RUN = (
    *("tokenizer", "dataset", "datasampling", "dataloader", "loss", "lr_scheduler", "optimizer", "trainer", "hook"),
    *NETWORK,
)
STEPS = 6
SHORT = (
    f"trainer.max_iters={STEPS}",
    "trainer.checkpoint_interval=3",
    "trainer.keep_checkpoints=9",
    "trainer.eval_interval=6",
)


@check("trains", *IN_A_RUN)
def trains(subject: Subject) -> None:
    """A run with it takes its steps with finite losses, and the same ones if it is stopped and gone on with.

    Parts of a network are trained with where they take part in moments of the run; `gradients` looks at the others.
    """
    if subject.kind in NETWORK and not moments_of(subject.cls):
        no_promise("it takes part in no moment of a run")
    with _short(subject) as spec:
        run = _run(subject, spec)
        losses = _losses(run)
        hold(run.step == STEPS, f"a run of {STEPS} steps took {run.step}")
        shutil.rmtree(Path(run.folder) / "checkpoints" / f"step-{STEPS}")
        again = _losses(_run(subject, spec, resume=run.folder))
        for step, loss in losses.items():
            other = again.get(step)
            hold(
                other == loss, f"stopped after step 3 and gone on with, the loss of step {step} is {other}, not {loss}"
            )


@check("goes-back", "optimizer")
def goes_back(subject: Subject) -> None:
    """Where it changes weights to be evaluated or stored, it changes them back, and training goes on as before."""
    if not moments_of(subject.cls):
        no_promise("it takes part in no moment of a run")
    runs = (("trainer.eval_interval=6",), ("trainer.eval_interval=1", "trainer.checkpoint_interval=1"))
    found = []
    for settings in runs:
        with _short(subject, *settings) as spec:
            found.append(_losses(_run(subject, spec)))
    for step, loss in found[0].items():
        other = found[1][step]
        hold(
            math.isclose(other, loss, rel_tol=1e-3),
            f"evaluated and stored at every step, the loss of step {step} is {other:.6g}, and else {loss:.6g}",
        )


@contextlib.contextmanager
def _short(subject: Subject, *settings: str) -> Iterator[Any]:
    """Give the spec of a few steps, whose folder goes when they are taken."""
    if subject.kind in ("dataset", "tokenizer"):  # what must be downloaded is asked for now
        made = subject.made(subject.component.build, subject.spec)
        if subject.kind == "dataset":
            subject.made(made.fingerprint)
    with tempfile.TemporaryDirectory(dir=subject.bench.folder) as folder:
        yield subject.respec(*SHORT, *settings, f"general.paths.output_dir={folder}")


def _losses(run: Any) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in run.metrics if line["split"] == "train"}


def _run(subject: Subject, spec: Any, **how: Any) -> Any:
    """Train in silence."""
    silent = contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO())
    with silent[0], silent[1]:
        return train(spec, **how)
