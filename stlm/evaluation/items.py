"""One question of a multiple-choice benchmark."""

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
