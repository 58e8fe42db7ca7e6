"""One question of a multiple-choice benchmark."""

import attrs


@attrs.frozen
class Item:
    """A context, the choices to go on with, and which of them is right.

    ``row`` is the question's index in its split. ``delimiter`` stands between context and choice, and does not count
    towards the length of the choice.
    """

    row: int
    context: str
    choices: tuple[str, ...]
    gold: int
    delimiter: str = " "
