"""What stlm's own benchmarks have in common: their rows are shipped inside the package, and need no network."""

import json
from collections.abc import Hashable
from importlib import resources
from typing import Any, ClassVar

from stlm.components.benchmark.questions import Questions, Row
from stlm.registry import section


@section
class PackagedQuestions(Questions):
    """A benchmark whose rows are the lines of ``shipped/NAME.jsonl``, beside a card of the same name.

    Its rows come in sets, inside of which the same choices are right for one row and wrong for the others. Each set is
    ``easy``, for what the smallest models learn first, or ``medium``; ``by_group`` has the scores of both.
    """

    group_column: ClassVar[str | None] = "difficulty"

    def rows(self) -> list[Row]:
        """Give the rows of the file."""
        file = resources.files("stlm.components.benchmark") / "shipped" / f"{self._name.partition('@')[0]}.jsonl"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    def set_of(self, row: Row) -> Hashable:
        """Name the set that a row belongs to: the rows with the same choices, in any order."""
        _, choices, _ = self.question(row)
        return frozenset(choices)

    def items(self, num_samples: int, seed: int) -> list[Any]:
        """Give the items of the sets that the seed chooses, of ``num_samples`` rows or a few less, or of all for 0.

        Sets are never divided: `acc_centered` compares a row with all that share its choices.
        """
        from stlm.evaluation.drawing import drawn_sets

        rows = self.rows()
        return [self._item(rows[n], n) for n in drawn_sets([self.set_of(row) for row in rows], num_samples, seed)]
