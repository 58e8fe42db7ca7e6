"""The options that optimizers have in common, as a spec says them to AdamW."""

import pytest

from stlm.registry.describe import describe_component
from stlm.spec import SpecError


@pytest.mark.parametrize(
    ("said", "key", "code"),
    [
        ("lr=0", "lr", "out-of-range"),
        ("min_lr=-1e-6", "min_lr", "out-of-range"),
        ("min_lr=1.01e-2", "min_lr", "rule"),
        ("weight_decay=-0.1", "weight_decay", "out-of-range"),
        ("grad_clip=-1", "grad_clip", "out-of-range"),
    ],
)
def test_what_cannot_be_is_a_mistake_at_its_key(tiny_spec, said, key, code):
    with pytest.raises(SpecError) as caught:
        tiny_spec("trainer.optimizer.min_lr=0", f"trainer.optimizer.{said}")
    assert [(d.key, d.code.value) for d in caught.value.diagnostics] == [(f"trainer.optimizer.{key}", code)]


@pytest.mark.parametrize("lowest", [0.0, 1e-2])
def test_a_rate_may_fall_to_nothing_or_stay_where_it_is(tiny_spec, lowest):
    assert tiny_spec(f"trainer.optimizer.min_lr={lowest}").trainer.optimizer.min_lr == lowest


def test_defaults_are_those_that_are_declared():
    described = {one["key"]: one["default"] for one in describe_component("optimizer", "AdamW")["options"]}
    expected = {"lr": 6e-4, "min_lr": 6e-6, "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999, "grad_clip": 1.0}
    assert described == expected
