"""What stlm's own benchmarks have in common: their rows are shipped inside the package, and need no network."""

import inspect
import json
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import ClassVar

from stlm.components.benchmark.questions import Questions, Row, asking
from stlm.registry import identity_of, section


@section
class PackagedQuestions(Questions):
    """A benchmark whose rows are the lines of ``shipped/NAME.jsonl``, beside the module of its class.

    ``NAME`` is the name that the component has. Rows come in sets, inside of which the same choices are right for one
    row and wrong for the others; a row that shares its choices with no other is a set by itself. ``by_group`` has the
    scores of rows with the same ``group_column``: in stlm's own, ``easy`` sets are what the smallest models learn
    first, and others are ``medium``.
    """

    needs_no_network: ClassVar[bool] = True
    group_column: ClassVar[str | None] = "difficulty"

    def rows(self) -> list[Row]:
        """Give the rows of the file."""
        identity = identity_of(type(self))
        assert identity is not None, "a component has a name"
        file = Path(inspect.getfile(type(self))).parent / "shipped" / f"{identity.name}.jsonl"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    def set_of(self, row: Row) -> Hashable:
        """Name the set that a row belongs to: the rows with the same choices, in any order."""
        _, choices, _ = self.question(row)
        return frozenset(choices)

    def drawn(self, rows: Sequence[Row], num_samples: int, seed: int) -> list[int]:
        """Draw whole sets, of ``num_samples`` rows or a few less: `acc_centered` compares rows that share choices."""
        from stlm.evaluation.drawing import drawn_sets

        return drawn_sets([self._set_of(row, number) for number, row in enumerate(rows)], num_samples, seed)

    def _set_of(self, row: Row, number: int) -> Hashable:
        with asking(number):
            return self.set_of(row)
