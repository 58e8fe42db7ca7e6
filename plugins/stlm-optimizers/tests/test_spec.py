"""What a spec may say of schedules and optimizers: defaults that follow other keys, and mistakes at their place."""

from pathlib import Path

import pytest

from stlm.registry.loading import load_spec
from stlm.spec import SpecError

PACKAGE = Path(__file__).parents[1]


def told(name, *overrides):
    with pytest.raises(SpecError) as caught:
        load_spec(PACKAGE / f"{name}.yaml", overrides)
    return [(found.key, found.code.value) for found in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("name", "overrides", "key"),
    [
        ("muon", ["trainer.warmup_iters=201"], "trainer.warmup_iters"),
        ("muon", ["trainer.lr_decay_iters=19"], "trainer.warmup_iters"),
        ("muon", ["trainer.decay_iters=181"], "trainer.decay_iters"),
        ("soap", ["trainer.lr_decay_iters=19"], "trainer.warmup_iters"),
        ("schedule_free", ["trainer.warmup_iters=201"], "trainer.warmup_iters"),
        ("lion", ["trainer.optimizer.min_lr=1"], "trainer.optimizer.min_lr"),
        ("schedule_free", ["trainer.lr_scheduler=cosine", "trainer.decay_lr=true"], "trainer.decay_lr"),
    ],
)
def test_what_cannot_be_is_a_mistake_at_its_key(name, overrides, key):
    assert told(name, *overrides) == [(key, "rule")]


def test_a_shape_that_is_not_there_is_told_the_others():
    assert told("muon", "trainer.decay_shape=exponential") == [("trainer.decay_shape", "unknown-name")]


@pytest.mark.parametrize(
    ("overrides", "length"),
    [([], 40), (["trainer.max_iters=300"], 60), (["trainer.lr_decay_iters=23"], 3), (["trainer.warmup_iters=200"], 0)],
)
def test_the_decay_is_a_fifth_of_the_run_or_what_the_warmup_leaves(overrides, length):
    spec = load_spec(PACKAGE / "soap.yaml", ["trainer.lr_scheduler=wsd", *overrides])
    assert spec.trainer.lr_scheduler.decay_iters == length


def test_beside_an_average_a_schedule_does_not_decay_unless_said():
    trainer = load_spec(PACKAGE / "schedule_free.yaml", ["trainer.lr_scheduler=cosine"]).trainer
    rate = trainer.lr_scheduler.build(trainer)
    assert {rate(step) for step in (20, 100, 199, 500)} == {trainer.optimizer.lr}


def test_adamw_has_the_rate_and_the_decay_of_muon_unless_said():
    spec = load_spec(PACKAGE / "muon.yaml", ["trainer.optimizer.lr=0.02", "trainer.optimizer.weight_decay=0.3"])
    assert (spec.trainer.optimizer.adamw_lr, spec.trainer.optimizer.adamw_weight_decay) == (0.02, 0.3)
