"""Benchmarks of another harness, by a prefix: their names are not known beforehand."""

import random
import re
from typing import Any

from stlm.registry import component


@component("benchmark", "other_harness:*")
class OtherHarness:
    """A task of another harness, `other_harness:TASK`; as a stand-in, `count_by_N` asks for the next multiple of N."""

    @classmethod
    def accepts(cls, name: str) -> bool:
        """Whether the other harness has the task."""
        return re.fullmatch(r"other_harness:count_by_[1-9]\d*", name) is not None

    def items(self, num_samples: int, seed: int) -> list[Any]:
        """Return ``num_samples`` of the task's 50 rows, chosen by the seed; all of them for 0."""
        from stlm.evaluation.items import Item

        step = int(self.member.removeprefix("count_by_"))
        rows = range(50)
        chosen = sorted(random.Random(seed).sample(rows, num_samples)) if 0 < num_samples < len(rows) else rows
        return [
            Item(row=row, context=f"{row * step}, {(row + 1) * step},", choices=(str((row + 2) * step), "no"), gold=0)
            for row in chosen
        ]
