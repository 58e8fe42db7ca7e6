"""What all benchmarks have in common: rows, of which some are drawn, and a question that each of them asks."""

from collections.abc import Mapping, Sequence
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

    def items(self, num_samples: int, seed: int) -> list[Any]:
        """Give the items of ``num_samples`` rows that the seed chooses, or of all for 0, in the order of the split.

        Where the score is the mean of groups, as many rows of each group are drawn; else each row has the same chance,
        so that the mean over rows is an unbiased estimate of that over all. Any failure is a `WorkError` of one line.
        """
        from stlm.data.reach import UnreachableError
        from stlm.evaluation.drawing import drawn_evenly, drawn_rows

        try:
            rows = self.rows()
        except UnreachableError as error:
            raise UnreachableError(f"benchmark `{self._name}`: {error.wanted}", error.why) from error
        except StlmError as error:
            raise WorkError(f"benchmark `{self._name}`: {error}") from error
        if self.by_group:
            numbers = drawn_evenly([row[str(self.group_column)] for row in rows], num_samples, seed)
        else:
            numbers = drawn_rows(len(rows), num_samples, seed)
        return [self._item(rows[number], number) for number in numbers]

    def _item(self, row: Row, number: int) -> Any:
        from stlm.evaluation.items import Item

        def item(question: Question, **more: Any) -> Item:
            context, choices, gold = question
            if not 0 <= gold < len(choices):
                raise ValueError(f"its answer is {gold}, and its choices are 0 to {len(choices) - 1}")
            return Item(number, context, tuple(choices), gold, **more)

        try:
            group = str(row[self.group_column]) if self.group_column is not None else ""
            by_text = self.text_question(row)
            text = None if by_text is None else item(by_text, group=group)
            return item(self.question(row), group=group, text=text)
        except (ValueError, LookupError) as error:
            raise WorkError(f"benchmark `{self._name}`: row {number} of its split cannot be asked: {error}") from error

    @property
    def _name(self) -> str:
        return str(self.selector)  # type: ignore[attr-defined]  # every component has one


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
