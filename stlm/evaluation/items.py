"""One question of a multiple-choice benchmark."""

from typing import Any

import attrs


@attrs.frozen
class Item:
    """A context, the choices to go on with, and which of them is right.

    ``row`` is the question's index in its split. ``context`` is one for all choices, or a tuple with one for each,
    where the choices differ in what comes first. ``delimiter`` stands between context and choice, and does not count
    towards the length of the choice. ``group`` is the part of the benchmark that the question belongs to (a paradigm, a
    subject), empty where it has no parts. ``text`` is the same question asked for the choices' text, where the plain
    form asks for their letters.
    """

    row: int
    context: str | tuple[str, ...]
    choices: tuple[str, ...]
    gold: int
    delimiter: str = " "
    group: str = ""
    text: "Item | None" = None

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each choice as a context and what goes on from it."""
        contexts = (self.context,) * len(self.choices) if isinstance(self.context, str) else self.context
        return [(context, self.delimiter + choice) for context, choice in zip(contexts, self.choices, strict=True)]


def fault_of(item: Any) -> str | None:
    """Say why an item that a benchmark made cannot be asked, where it cannot; a plugin may make anything."""
    if not isinstance(item, Item):
        return f"it is {type(item).__name__}, and must be an `Item`"
    fault = _fault_of_form(item)
    if fault is not None or item.text is None:
        return fault
    if not isinstance(item.text, Item):
        return f"its `text` is {type(item.text).__name__}, and must be an `Item`"
    if len(item.text.choices) != len(item.choices):
        return f"its `text` has {len(item.text.choices)} choices, and itself {len(item.choices)}"
    fault = _fault_of_form(item.text)
    return None if fault is None else f"of its `text`, {fault}"


def _fault_of_form(item: Item) -> str | None:
    count, contexts = len(item.choices), item.context
    if isinstance(item.choices, str) or not all(isinstance(choice, str) for choice in item.choices):
        return "its choices must be a tuple of strings"
    if not count:
        return "it has no choices"
    if type(item.gold) is not int or not 0 <= item.gold < count:
        return f"its answer is {item.gold!r}, and its {count} choices are 0 to {count - 1}"
    if isinstance(contexts, str):
        return None
    if not isinstance(contexts, tuple) or not all(isinstance(context, str) for context in contexts):
        return "its context must be a string, or a tuple of strings"
    return None if len(contexts) == count else f"it has {len(contexts)} contexts for {count} choices"
