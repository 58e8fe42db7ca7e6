"""The core's own options: which blocks are recomputed, and what is said of values that are none."""

import pytest

from stlm.compiler import compile
from stlm.spec import SpecError

KEY = "model.activation_checkpointing"


@pytest.mark.parametrize(
    ("value", "every"), [("none", 0), ("full", 1), ("1", 1), ("2", 2)], ids=["none", "full", "1", "2"]
)
def test_blocks_are_recomputed_as_the_spec_says(tiny_spec, value, every):
    assert compile(tiny_spec(f"{KEY}={value}"), "meta").model.core.recompute_every == every


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        ("ful", "takes `none`, `full` or an integer, got the string `ful`", "did you mean `full`?"),
        ("0", "must be greater than 0, got 0", None),
        ("1.5", "takes `none`, `full` or an integer, got the number `1.5`", None),
        ("true", "takes `none`, `full` or an integer, got the boolean `true`", None),
        (
            "3",
            "a token goes through only 2 blocks, so that none would be recomputed; `none` says so",
            "`model.num_layers` is 2",
        ),
    ],
)
def test_what_says_no_blocks_is_refused(tiny_spec, value, message, hint):
    with pytest.raises(SpecError) as error:
        tiny_spec(f"{KEY}={value}")
    (found,) = error.value.diagnostics
    assert found.key == KEY
    assert message in found.message
    assert hint is None or any(hint in line for line in found.help)


def test_recomputed_blocks_are_in_the_report_as_memory_and_in_nothing_else(tiny_spec):
    reports = [compile(tiny_spec("model.num_layers=8", f"{KEY}={value}"), "meta").report for value in ("none", "full")]
    kept, recomputed = reports
    assert recomputed.memory.activations < kept.memory.activations / 2
    assert recomputed.flops_per_token == kept.flops_per_token
    assert recomputed.parameters == kept.parameters
