"""One question of a multiple-choice benchmark."""

from typing import Any

import attrs

from stlm.spec.reasons import typed_reason_of

_MOST_ROWS = 1 << 63
"""Beyond it, a number is hardly an index; Python refuses to write the largest ones."""


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
    """Say on one line why an item that a benchmark made cannot be asked, where it cannot; a plugin may make anything.

    Raises nothing, whatever it is given.
    """
    if not isinstance(item, Item):
        return f"it is {type(item).__name__}, and must be an `Item`"
    try:
        return _fault(item)
    except Exception as error:  # a class that is derived from `Item` may do anything
        return f"it cannot be looked at: {typed_reason_of(error)}"


def _fault(item: Item) -> str | None:
    text = item.text
    if (fault := _wrong_type(item) or _wrong_value(item)) is not None or text is None:
        return fault
    if not isinstance(text, Item):
        return f"its `text` is {type(text).__name__}, and must be an `Item`"
    fault = _wrong_type(text)
    if fault is None and len(text.choices) != len(item.choices):
        return f"its `text` has {len(text.choices)} choices, and itself {len(item.choices)}"
    fault = fault or _wrong_value(text)
    return None if fault is None else f"of its `text`, {fault}"


def _wrong_type(item: Item) -> str | None:
    if not is_row(item.row):
        return f"its `row` is {_shown(item.row)}, and must be its index in the split"
    if not _are_strings(item.choices):
        return "its choices must be a tuple of strings"
    if not isinstance(item.context, str) and not _are_strings(item.context):
        return "its context must be a string, or a tuple of strings"
    for name in ("delimiter", "group"):
        value = getattr(item, name)
        if not isinstance(value, str):
            return f"its `{name}` is {_shown(value)}, and must be a string"
    return None


def _wrong_value(item: Item) -> str | None:
    count, contexts = len(item.choices), item.context
    if count < 2:
        return f"it has {('no choice', 'a single choice')[count]}, and must have two or more"
    if type(item.gold) is not int or not 0 <= item.gold < count:
        return f"its answer is {_shown(item.gold)}, and its {count} choices are 0 to {count - 1}"
    if not isinstance(contexts, str) and len(contexts) != count:
        return f"it has {len(contexts)} contexts for {count} choices"
    return None


def is_row(value: Any) -> bool:
    """Whether a value can be the index of a row, and stored as one."""
    return type(value) is int and 0 <= value < _MOST_ROWS


def _are_strings(values: Any) -> bool:
    return isinstance(values, tuple) and all(isinstance(value, str) for value in values)


def _shown(value: Any) -> str:
    """Show a plain value as it is, cut short, and of any other its type."""
    plain = value is None or type(value) in (bool, float, str) or (type(value) is int and abs(value) < _MOST_ROWS)
    return f"{value!r:.40}" if plain else f"of the type {type(value).__name__}"
