"""The learning rate at its corners, against numbers worked out by hand."""

from types import SimpleNamespace

import pytest

from stlm.components.lr_scheduler.cosine import Cosine
from stlm.components.optimizer.adamw import AdamW


def schedule(**options):
    cosine = Cosine(**{"warmup_iters": 10, "lr_decay_iters": 110, **options})
    return cosine.build(SimpleNamespace(optimizer=AdamW(lr=1.0, min_lr=0.1)))


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.1),  # 1/10 of the peak: no step is wasted at 0
        (8, 0.9),
        (9, 1.0),  # the last step of the warm-up
        (10, 1.0),  # cos(0)
        (35, 0.1 + 0.45 * (1 + 2**-0.5)),  # a quarter of the way: cos(45°)
        (60, 0.55),  # half way
        (110, 0.1),
        (111, 0.1),  # it never rises again
        (10_000, 0.1),
    ],
)
def test_the_rate_at_its_corners(step, rate):
    assert schedule()(step) == pytest.approx(rate, abs=1e-12)


def test_the_last_step_before_the_end_is_above_the_floor():
    assert 0.1 < schedule()(109) < 0.101


def test_an_optimizer_without_a_floor_decays_to_0():
    plain = SimpleNamespace(optimizer=SimpleNamespace(lr=1.0))
    rate = Cosine(warmup_iters=10, lr_decay_iters=110).build(plain)
    assert [rate(60), rate(110), rate(500)] == pytest.approx([0.5, 0.0, 0.0], abs=1e-12)


def test_without_decay_the_rate_stays_at_the_peak():
    rate = schedule(decay_lr=False)
    assert [rate(s) for s in (4, 9, 10, 500)] == [0.5, 1.0, 1.0, 1.0]


def test_without_warmup_the_first_step_has_the_peak():
    assert schedule(warmup_iters=0)(0) == 1.0


def test_a_warmup_as_long_as_the_decay_ends_at_the_floor():
    rate = schedule(warmup_iters=10, lr_decay_iters=10)
    assert [rate(9), rate(10)] == [1.0, 0.1]


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["trainer.warmup_iters=9"], "trainer.warmup_iters"),  # of 8 steps
        (["trainer.warmup_iters=5", "trainer.lr_decay_iters=4"], "trainer.warmup_iters"),
        (["trainer.optimizer.min_lr=1.0"], "trainer.optimizer.min_lr"),
    ],
)
def test_what_cannot_be_scheduled_is_a_mistake_in_the_spec(tiny_spec, overrides, key):
    from stlm.spec import SpecError

    with pytest.raises(SpecError) as caught:
        tiny_spec(*overrides)
    assert [(d.key, d.code) for d in caught.value.diagnostics] == [(key, "rule")]


def test_the_decay_lasts_as_long_as_the_run_unless_said_otherwise(tiny_spec):
    assert tiny_spec("trainer.max_iters=50").trainer.lr_scheduler.lr_decay_iters == 50
