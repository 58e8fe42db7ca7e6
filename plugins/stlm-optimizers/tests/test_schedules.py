"""Schedules as a spec makes them, with every option, beside transformers' and by hand."""

import pytest
import torch
from transformers import get_scheduler

RUN = ("trainer.max_iters=100", "trainer.warmup_iters=10", "trainer.optimizer.lr=2e-3")
FLOOR = "trainer.optimizer.min_lr=2e-4"
EARLY = "trainer.lr_decay_iters=80"
STEPS = 120
"""Longer than the run, for a rate is asked for whatever a run's length."""


def scheduled(small, name, *overrides, run=RUN):
    """The rates of a schedule in a spec whose optimizer has a floor."""
    trainer = small("soap", f"trainer.lr_scheduler={name}", *run, *overrides).trainer
    rate = trainer.lr_scheduler.build(trainer)
    return [rate(step) for step in range(STEPS)]


def published(name, steps=100, **specific):
    """Transformers' rates; its warm-up begins at a rate of 0, a step that changes nothing: ours is one ahead in it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-3)
    schedule = get_scheduler(
        name, optimizer, num_warmup_steps=10, num_training_steps=steps, scheduler_specific_kwargs=specific
    )
    rates = []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return [2e-3 * (step + 1) / 10 for step in range(10)] + rates[10:]


def falling(steps, length, shape, floor=0.0):
    return published("warmup_stable_decay", steps, num_decay_steps=length, decay_type=shape, min_lr_ratio=floor)


@pytest.mark.parametrize(
    ("name", "overrides", "wanted"),
    [
        ("constant", (), published("constant_with_warmup")),
        ("constant", (FLOOR,), published("constant_with_warmup")),
        ("linear", (), published("linear")),
        ("linear", (EARLY,), published("linear", 80)),
        ("linear", (FLOOR, EARLY), falling(80, 70, "linear", 0.1)),
        ("trapezoid", (), falling(100, 20, "linear")),
        ("trapezoid", (EARLY,), falling(80, 16, "linear")),
        ("trapezoid", (FLOOR, EARLY, "trainer.decay_iters=33"), falling(80, 33, "linear", 0.1)),
        ("wsd", (), falling(100, 20, "1-sqrt")),
        ("wsd", (FLOOR, EARLY, "trainer.decay_iters=33"), falling(80, 33, "1-sqrt", 0.1)),
        ("wsd", (FLOOR, "trainer.decay_shape=linear"), falling(100, 20, "linear", 0.1)),
        ("wsd", (EARLY, "trainer.decay_shape=cosine", "trainer.decay_iters=70"), falling(80, 70, "cosine")),
    ],
)
def test_the_rates_are_those_of_transformers(small, name, overrides, wanted):
    assert scheduled(small, name, *overrides) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("name", ["linear", "trapezoid", "wsd"])
def test_without_decay_the_rate_stays(small, name):
    rates = scheduled(small, name, "trainer.decay_lr=false", FLOOR, EARLY)
    assert rates == pytest.approx(published("constant_with_warmup"), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "overrides", "wanted"),
    [
        ("constant", (), [2.0, 2.0, 2.0, 2.0, 2.0, 2.0]),
        ("linear", (), [2.0, 1.55, 1.1, 0.65, 0.2, 0.2]),
        ("trapezoid", ("trainer.decay_iters=2",), [2.0, 2.0, 2.0, 1.1, 0.2, 0.2]),
        ("trapezoid", ("trainer.decay_iters=0",), [2.0, 2.0, 2.0, 2.0, 0.2, 0.2]),
        ("wsd", ("trainer.decay_iters=4",), [2.0, 1.1, 2 - 1.8 * 0.5**0.5, 2 - 1.8 * 0.75**0.5, 0.2, 0.2]),
    ],
)
def test_the_rates_of_four_steps_without_a_warmup(small, name, overrides, wanted):
    run = ("trainer.max_iters=4", "trainer.warmup_iters=0", "trainer.optimizer.lr=2e-3")
    rates = scheduled(small, name, FLOOR, *overrides, run=run)
    assert [1e3 * rate for rate in rates[:6]] == pytest.approx(wanted)


def test_a_trapezoid_is_a_linear_wsd(small):
    """Number for number."""
    assert scheduled(small, "trapezoid", FLOOR) == scheduled(small, "wsd", FLOOR, "trainer.decay_shape=linear")
