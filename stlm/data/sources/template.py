"""Text with places for the values of a row: ``{column}`` stands for one, ``{{`` and ``}}`` for braces."""

import string
from collections.abc import Callable, Iterator

import attrs


@attrs.frozen
class Template:
    """A template that has been read: in turn, plain text and the name of the column whose value follows it."""

    pieces: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Read a template; raises `ValueError` with a sentence where it is none."""
        try:
            found = list(string.Formatter().parse(text))
        except ValueError as error:
            raise ValueError(f"it cannot be read ({error}); a brace of the text itself is written twice") from error
        for _, name, form, conversion in found:
            if name is not None:
                _check(name, form, conversion)
        return cls(tuple((before, name) for before, name, _, _ in found))

    @property
    def columns(self) -> Iterator[str]:
        """Give the names in it, as often as they occur."""
        return (name for _, name in self.pieces if name is not None)

    def fill(self, value: Callable[[str], str]) -> str:
        """Give the text, where ``value`` gives what stands for a name."""
        return "".join(before if name is None else before + value(name) for before, name in self.pieces)


def mistake_in(key: str, text: str | None, *, may_be_constant: bool = False) -> str | None:
    """Say what is wrong with the template that ``key`` holds; None where nothing is."""
    if text is None:
        return None
    try:
        template = Template.parse(text)
    except ValueError as error:
        return f"`{key}` is no template: {error}"
    if may_be_constant or any(template.columns):
        return None
    return f"`{key}` names no column, so that all rows would become the same; `{{column}}` stands for a row's value"


def _check(name: str, form: str | None, conversion: str | None) -> None:
    """Allow a column's plain name, and ``outer.inner`` for a value within a value, but nothing that computes."""
    if form or conversion:
        said = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
        raise ValueError(f"`{{{said}}}` says how to write a value, which a template cannot; write `{{{name}}}`")
    if not name.strip():
        raise ValueError("`{}` names no column; write its name between the braces, or `{{}}` for braces")
    if any(sign in name for sign in "[]{}") or not all(part.strip() for part in name.split(".")):
        raise ValueError(f"`{{{name}}}` is no column's name; `{{outer.inner}}` stands for a value within a value")
