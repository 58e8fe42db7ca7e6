"""Rows of another form than a text or a template: conversations, and rows of several texts."""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from stlm.data.sources.rows import RowReader, named
from stlm.data.sources.source import Example
from stlm.spec.errors import WorkError

_SAID = {"question": "Question: ", "answer": "Answer: ", "system": ""}
_ROLES = {
    "human": "question",
    "user": "question",
    "gpt": "answer",
    "assistant": "answer",
    "system": "system",
}


@attrs.frozen
class Conversation:
    """Makes an example of what was said in turn: its completion is the last answer, its prompt all before that.

    A turn is a mapping of ``role`` and ``content``; where these are None it is a string, and the first is a question.
    A conversation without an answer becomes a prompt alone.
    """

    column: str
    role: str | None = None
    content: str | None = None
    has_completions: bool = attrs.field(default=True, init=False)

    def options(self) -> list[Any]:
        """What decides the documents beside the rows, as JSON."""
        return [self.column, self.role, self.content]

    def needed(self, there: Iterable[str], place: object) -> list[str]:
        """Choose the column that is read; raises `UsageError` where it is missing."""
        return RowReader(self.column).needed(there, place)

    def document(self, row: Mapping[str, Any], place: object) -> Example:
        """Make a row's example; ``place`` says in an error where it stands."""
        turns = row[self.column]
        if not isinstance(turns, list):
            raise WorkError(f"{place}: column `{self.column}` holds {named(turns)}, not a list of turns")
        said = [self._turn(turn, number, place) for number, turn in enumerate(turns)]
        answers = [number for number, (who, _) in enumerate(said) if who == "answer"]
        last = answers[-1] if answers else len(said)
        before = "\n".join(_SAID[who] + text for who, text in said[:last])
        if not answers:
            return Example(before, "")
        return Example(before + ("\nAnswer:" if before else "Answer:"), f" {said[last][1]}")

    def _turn(self, turn: Any, number: int, place: object) -> tuple[str, str]:
        if self.role is None or self.content is None:
            who, text = ("question", "answer")[number % 2], turn
        elif isinstance(turn, Mapping):
            who, text = _ROLES.get(str(turn.get(self.role)), ""), turn.get(self.content)
        else:
            who, text = "", None
        if not who or not isinstance(text, str):
            raise WorkError(f"{place}: turn {number + 1} of `{self.column}` says not who says what")
        return who, text


@attrs.frozen
class AllTexts:
    """Makes a document of all strings of a row, in the order of its columns, a line each."""

    has_completions: bool = attrs.field(default=False, init=False)

    def options(self) -> list[Any]:
        """There is nothing else that decides."""
        return []

    def needed(self, there: Iterable[str], place: object) -> list[str]:
        """Choose all columns."""
        return list(there)

    def document(self, row: Mapping[str, Any], place: object) -> str:
        """Make a row's document."""
        return "\n".join(value for value in row.values() if isinstance(value, str))
