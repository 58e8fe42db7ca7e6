"""The schedules at their corners by hand, beside transformers', and at any length."""

import itertools

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import get_scheduler
from transformers.optimization import get_wsd_schedule

from stlm.components.lr_scheduler.curves import SHAPES, curve

PEAK, FLOOR = 1.0, 0.1


@pytest.mark.parametrize(
    ("shape", "half", "three_quarters"),
    [
        ("linear", 0.55, 0.325),
        ("cosine", 0.55, 0.1 + 0.45 * (1 - 2**-0.5)),
        ("1-sqrt", 1 - 0.9 * 0.5**0.5, 1 - 0.9 * 0.75**0.5),
    ],
)
def test_the_rate_at_its_corners(shape, half, three_quarters):
    rate = curve(PEAK, FLOOR, warmup=10, decay=(60, 100), shape=shape)
    steps = (0, 8, 9, 10, 59, 60, 80, 90, 100, 101, 10_000)
    wanted = (0.1, 0.9, 1.0, 1.0, 1.0, 1.0, half, three_quarters, 0.1, 0.1, 0.1)
    assert [rate(step) for step in steps] == pytest.approx(wanted, abs=1e-12)


def rates_of(schedule, optimizer, count):
    rates = []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def plain_optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)


@pytest.mark.parametrize("shape", SHAPES)
def test_wsd_is_that_of_transformers(shape):
    """There the warm-up begins at a rate of 0, which is a step that changes nothing: ours is one step ahead in it."""
    optimizer = plain_optimizer()
    theirs = rates_of(get_wsd_schedule(optimizer, 10, 40, 100, decay_type=shape), optimizer, 110)
    ours = curve(PEAK, 0.0, warmup=10, decay=(60, 100), shape=shape)
    assert [ours(step) for step in range(10, 110)] == pytest.approx(theirs[10:], abs=1e-12)
    assert [ours(step) for step in range(10)] == pytest.approx(theirs[1:11], abs=1e-12)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("linear", curve(PEAK, 0.0, warmup=10, decay=(10, 100))),
        ("constant_with_warmup", curve(PEAK, 0.0, warmup=10)),
    ],
)
def test_linear_and_constant_are_those_of_transformers(name, ours):
    optimizer = plain_optimizer()
    schedule = get_scheduler(name, optimizer, num_warmup_steps=10, num_training_steps=100)
    theirs = rates_of(schedule, optimizer, 110)
    assert [ours(step) for step in range(10, 110)] == pytest.approx(theirs[10:], abs=1e-12)
    assert [ours(step) for step in range(10)] == pytest.approx(theirs[1:11], abs=1e-12)


lengths = st.integers(0, 300)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    warmup=lengths,
    plateau=lengths,
    decay=st.integers(1, 300),
    shape=st.sampled_from(sorted(SHAPES)),
    floor=st.floats(0, 1),
)
def test_any_curve_rises_stays_and_falls_without_a_jump(warmup, plateau, decay, shape, floor):
    begin = warmup + plateau
    rate = curve(PEAK, floor, warmup=warmup, decay=(begin, begin + decay), shape=shape)
    rates = [rate(step) for step in range(begin + decay + 5)]
    rounding = 1e-12
    assert all(min(floor, rates[0]) - rounding <= one <= PEAK + rounding for one in rates)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert set(rates[warmup : begin + 1]) == {PEAK}
    falling = rates[begin:]
    assert all(later <= one + rounding for one, later in itertools.pairwise(falling))
    assert rates[-5:] == [floor] * 5
    steepest = (1 - floor) * max(1 / decay**0.5, 1.6 / decay)  # 1 - √x falls most at its beginning, cos in its middle
    drops = [one - later for one, later in itertools.pairwise(falling)]
    assert max(drops) <= steepest + rounding
