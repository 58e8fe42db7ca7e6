"""Good components in forms that are rare: no check fails them."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from stlm.components.export.llama import LlamaExport
from stlm.evaluation.drawing import drawn_evenly, drawn_rows, drawn_sets
from stlm.evaluation.items import Item
from stlm.registry import component
from stlm.testing import check_class

Draw = Callable[[int, int, int], list[int]]


def sets_of(size: int) -> Draw:
    """Draw rows in sets of a size."""
    return lambda count, num_samples, seed: drawn_sets([row // size for row in range(count)], num_samples, seed)


def groups_of(size: int) -> Draw:
    """Draw as many rows of each group of a size."""
    return lambda count, num_samples, seed: drawn_evenly([row // size for row in range(count)], num_samples, seed)


@pytest.mark.parametrize(
    ("draw", "count"),
    [
        *((drawn_rows, count) for count in (1, 2, 3, 4, 5, 6, 7, 50)),
        *((sets_of(size), size * sets) for size in (2, 4, 8) for sets in (2, 3, 9)),
        (sets_of(4), 4),
        (groups_of(3), 6),
        (groups_of(3), 30),
    ],
)
def test_a_benchmark_may_have_few_rows_or_large_sets(draw: Draw, count: int) -> None:
    @component("benchmark", "good")
    class Good:
        """Questions with which nothing is wrong."""

        def items(self, num_samples: int, seed: int) -> list[Any]:
            return [Item(row, f"{row},", (str(row + 1), "no"), 0) for row in draw(count, num_samples, seed)]

    told = {one.check: (one.result, one.why) for one in check_class(Good, only=["questions", "drawn-rows"])}
    assert told == {"questions": ("passed", ""), "drawn-rows": ("passed", "")}


class OfThreeLayers:
    """Llama of three layers alone."""

    def blockers(self, spec: Any) -> list[Any]:
        wrong = spec.model.core_model.num_layers != 3
        return [("model.num_layers", "must be 3")] if wrong else LlamaExport.blockers(self, spec)  # type: ignore[arg-type]


LLAMA = {
    "num_layers": 3,
    "positional_encoding_type": "rope",
    "attn": {"attn_type": "causal", "num_kv_heads": 2},
    "ffn": {"ffn_type": "silu_ffn", "ffn_dim": 24},
}


def test_an_export_of_a_form_that_the_checks_do_not_know_names_examples() -> None:
    @component("export", "unknown")
    class Silent(OfThreeLayers, LlamaExport):
        """Llama of three layers, which says nothing of it."""

    @component("export", "known")
    class Telling(OfThreeLayers, LlamaExport):
        """Llama of three layers, which says so."""

        examples: ClassVar[Any] = (LLAMA,)

    checks = ["weights-table", "reads-back"]
    assert {one.why for one in check_class(Silent, only=checks)} == {
        "no form of decoder that is tried here fits it, and it names no `examples`"
    }
    assert [(one.result, one.why) for one in check_class(Telling, only=checks)] == [("passed", "")] * 2
