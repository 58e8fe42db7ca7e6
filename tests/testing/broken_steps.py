"""Schedules, optimizers and runs that break a promise."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch

from stlm.registry import component, hook, option, positive
from tests.testing.faults import caught_by


def optimizer(make: Callable[[Any, float], Any]) -> type:
    """An optimizer that a function of the network and the rate makes."""

    @component("optimizer", "broken")
    class Broken:
        """An optimizer in which something is wrong."""

        lr: float = option(positive, default=0.1, doc="The learning rate of it.")

        def build(self, trainer: Any, network: Any, device: Any) -> Any:
            return make(network, self.lr)

    return Broken


def rates(rate: Callable[[int, float], float]) -> type:
    """Rates that a function of the step and the highest rate gives."""

    @component("lr_scheduler", "broken")
    class Broken:
        """Rates of which something is wrong."""

        def build(self, trainer: Any) -> Any:
            return lambda step: rate(step, trainer.optimizer.lr)

    return Broken


@caught_by("learning-rates", "the rate of step 3 is -")
def rates_that_fall_below_zero() -> type:
    @component("lr_scheduler", "broken")
    class Broken:
        """Rates of which something is wrong."""

        def build(self, trainer: Any) -> Any:
            return lambda step: trainer.optimizer.lr * (1 - step / trainer.max_iters)

    return Broken


@caught_by("takes-every-weight", "`bias`, stands in its groups 0 times")
def optimizer_of_matrices_alone() -> type:
    return optimizer(lambda network, lr: torch.optim.SGD([p for p in network.parameters() if p.dim() > 1], lr))


@caught_by("descends", "after 20 steps down a bowl its height is")
def optimizer_that_climbs() -> type:
    return optimizer(lambda network, lr: torch.optim.SGD(network.parameters(), lr, maximize=True))


@caught_by("optimizer-state", "something is not in its `state_dict`")
def optimizer_that_counts_where_nobody_looks() -> type:
    class Slowing(torch.optim.SGD):
        steps = 0

        def step(self, closure: Any = None) -> Any:
            self.steps += 1
            with torch.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.sub_(group["lr"] * p.grad / self.steps)

    return optimizer(lambda network, lr: Slowing(network.parameters(), lr))


@caught_by("optimizer-state", "something is not in its `state_dict`")
def optimizer_that_keeps_its_momentum_to_itself() -> type:
    class Signs(torch.optim.Optimizer):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, {"lr": lr})
            self.mine: dict[Any, Any] = {}

        @torch.no_grad()
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                for p in group["params"]:
                    momentum = self.mine.setdefault(p, torch.zeros_like(p)).lerp_(p.grad, 0.1)
                    p.sub_(group["lr"] * momentum.sign())

    return optimizer(lambda network, lr: Signs(network.parameters(), lr))


@caught_by("state-foretold", "a dry run foretells 0 bytes of state, and after two steps it keeps ")
def optimizer_that_does_not_say_what_it_keeps() -> type:
    return optimizer(lambda network, lr: torch.optim.AdamW(network.parameters(), lr))


@caught_by("takes-the-rate", "at a tenth of the rate")
def optimizer_with_a_rate_of_its_own() -> type:
    class Stubborn(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            with torch.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.sub_(0.1 * p.grad)

    return optimizer(lambda network, lr: Stubborn(network.parameters(), lr))


@caught_by("learning-rates", "no rate is above 0")
def rates_that_are_zero() -> type:
    @component("lr_scheduler", "broken")
    class Broken:
        """Rates of which something is wrong."""

        def build(self, trainer: Any) -> Any:
            return lambda step: 0.0

    return Broken


@caught_by("takes-every-weight", "no torch.optim.Optimizer")
def optimizer_that_is_none() -> type:
    return optimizer(lambda network, lr: network)


@caught_by("learning-rates", "the rate of step 1 is nan")
def rates_that_are_no_numbers() -> type:
    return rates(lambda step, most: math.nan if step else most)


@caught_by("learning-rates", "asked again, it gives other rates")
def rates_that_fall_whenever_they_are_asked_for() -> type:
    calls = itertools.count()
    return rates(lambda step, most: most / (1 + next(calls)))


@caught_by("trains", "stopped after step 3 and gone on with, the loss of step 5 is")
def hook_that_counts_the_steps_of_the_process() -> type:
    steps = []

    @component("hook", "broken")
    class Broken:
        """Moves the weights at the fourth step that this process takes, of whichever run."""

        @hook
        def step_ends(self, run: Any, metrics: dict[str, float]) -> None:
            steps.append(run.step)
            if len(steps) == 4:
                for parameter in run.model.parameters():
                    parameter.data.mul_(0.5)

    return Broken


@caught_by("trains", "a run of 6 steps took 2")
def hook_that_ends_every_run() -> type:
    @component("hook", "broken")
    class Broken:
        """Ends a run at its second step."""

        @hook
        def step_ends(self, run: Any, metrics: dict[str, float]) -> None:
            run.stop = run.step == 2

    return Broken


@caught_by("trains", "step 2: the loss is nan")
def optimizer_that_leaps_away() -> type:
    class Leaping(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            with torch.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.add_(torch.inf)

    return optimizer(lambda network, lr: Leaping(network.parameters(), lr))


@caught_by("goes-back", "evaluated and stored at every step, the loss of step ")
def optimizer_that_stays_where_it_is_looked_at() -> type:
    @component("optimizer", "broken")
    class Broken:
        """Halves the weights before they are evaluated, and leaves them so."""

        lr: float = option(positive, default=0.1, doc="The learning rate of it.")

        def build(self, trainer: Any, network: Any, device: Any) -> Any:
            return torch.optim.SGD(network.parameters(), self.lr)

        @hook
        def evaluation_starts(self, run: Any) -> None:
            for parameter in run.model.parameters():
                parameter.data.mul_(0.5)

    return Broken
