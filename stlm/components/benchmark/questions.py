"""What all benchmarks have in common: rows, of which some are drawn, and a question that each of them asks."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from stlm.registry import section
from stlm.spec.errors import StlmError, WorkError

Row = Mapping[str, Any]
Question = tuple[str | tuple[str, ...], Sequence[str], int]
"""A context (or one for each choice), the choices, and the index of the right one."""


@section
class Questions:
    """A benchmark that says how it comes by its ``rows``, and what ``question`` a row asks.

    Where its rows belong to groups (paradigms, subjects), ``group_column`` names them. `text_question` is the same
    question asked for the choices' text, where `question` asks for their letters.
    """

    by_group: ClassVar[bool] = False
    group_column: ClassVar[str | None] = None

    def rows(self) -> Sequence[Row]:
        """Give the rows of the split; raises `StlmError` where they cannot be had."""
        raise NotImplementedError

    def question(self, row: Row) -> Question:
        """Make a row's question; a row that is not as it must be raises `ValueError`."""
        raise NotImplementedError

    def text_question(self, row: Row) -> Question | None:
        """Make the second form of a row's question; None where there is none."""
        return None

    def drawn(self, rows: Sequence[Row], num_samples: int, seed: int) -> list[int]:
        """Draw the numbers of ``num_samples`` rows by the seed, or of all for 0, in the order of the split.

        Where the score is the mean of groups, as many rows of each group are drawn; else each row has the same chance,
        so that the mean over rows is an unbiased estimate of that over all.
        """
        from stlm.evaluation.drawing import drawn_evenly, drawn_rows

        if self.by_group:
            return drawn_evenly([row[str(self.group_column)] for row in rows], num_samples, seed)
        return drawn_rows(len(rows), num_samples, seed)

    def items(self, num_samples: int, seed: int) -> list[Any]:
        """Give the items of the rows that are `drawn`; a failure of the data is a `WorkError` of one line."""
        try:
            rows = self.rows()
        except WorkError:
            raise
        except StlmError as error:
            raise WorkError(str(error)) from error
        return [self._item(rows[number], number) for number in self.drawn(rows, num_samples, seed)]

    def _item(self, row: Row, number: int) -> Any:
        from stlm.evaluation.items import Item

        def item(question: Question, **more: Any) -> Item:
            context, choices, gold = question
            return Item(number, context, tuple(choices), gold, **more)

        with asking(number):
            group = str(row[self.group_column]) if self.group_column is not None else ""
            by_text = self.text_question(row)
            text = None if by_text is None else item(by_text, group=group)
            return item(self.question(row), group=group, text=text)


@contextlib.contextmanager
def asking(number: int) -> Iterator[None]:
    """Make a `WorkError` that names the row of what goes wrong inside the block, where a row is not as it must be."""
    try:
        yield
    except (ValueError, LookupError) as error:
        raise WorkError(f"row {number} cannot be asked: {error}") from error


def place_of(answer: str, labels: Sequence[str]) -> int:
    """Find the choice that a row says is right; raises `ValueError` where it says none of them, as a row without.

    A string stands for its letters.
    """
    labels = list(labels)
    if answer not in labels:
        raise ValueError(f"its answer is `{answer}`, which is none of {', '.join(f'`{label}`' for label in labels)}")
    return labels.index(answer)


def lettered(choices: Sequence[str]) -> str:
    """List choices as lines that begin with a letter, a full stop and a space."""
    return "\n".join(f"{letter}. {choice}" for letter, choice in zip("ABCDEFGHIJ", choices, strict=False))
