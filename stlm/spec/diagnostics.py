"""A mistake as a value: where it stands, which key it is about, what kind it is, and what would mend it."""

from enum import StrEnum

import attrs


class Code(StrEnum):
    """The closed set of what can be wrong with a spec."""

    YAML = "yaml"
    DUPLICATE_KEY = "duplicate-key"
    UNKNOWN_KEY = "unknown-key"
    MISSING_KEY = "missing-key"
    WRONG_TYPE = "wrong-type"
    OUT_OF_RANGE = "out-of-range"
    UNKNOWN_NAME = "unknown-name"
    CONFLICT = "conflict"
    RULE = "rule"
    EXTENDS = "extends"
    OVERRIDE = "override"
    PLUGIN = "plugin"
    DEVICE = "device"


@attrs.frozen
class Place:
    """A stretch of text: a file (or the override that said it), a line and a column from 1, and its length.

    ``text`` is the whole source line, kept so that a diagnostic can be shown after the file has changed.
    """

    file: str
    line: int
    column: int
    length: int = attrs.field(default=1, eq=False)
    text: str = attrs.field(default="", eq=False, repr=False)

    @property
    def is_override(self) -> bool:
        """Whether the text came from the command line rather than from a file."""
        return self.file.startswith("--")

    def __str__(self) -> str:
        return self.file if self.is_override else f"{self.file}:{self.line}:{self.column}"


def printable(text: str) -> str:
    """Write control characters as escapes, so that no text of a spec can steer the terminal or break the line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, length: int = 100) -> str:
    """Write what somebody else's file says as a part of one line: printable, and cut where it is longer."""
    return printable(text[:length]) + ("…" if len(text) > length else "")


@attrs.frozen
class Diagnostic:
    """One mistake of a user."""

    place: Place
    key: str
    code: Code
    message: str
    help: tuple[str, ...] = ()

    def headline(self) -> str:
        """The one line that says it all: ``FILE:LINE:COLUMN: error[CODE]: message``."""
        return printable(f"{self.place}: error[{self.code.value}]: {self.message}")

    def render(self) -> str:
        """The headline, the source line with a caret under the stretch that is meant, and the help lines."""
        lines = [self.headline()]
        if self.place.text:
            text = self.place.text.expandtabs(1)
            start = self.place.column - 1
            if len(text) > 160:  # a line of generated YAML must not fill the screen
                cut = max(0, start - 40)
                text, start = text[cut : cut + 160], start - cut
            lines.append(printable(f"    {text}").rstrip())
            carets = max(1, min(self.place.length, len(text) - start))
            lines.append("    " + " " * start + "^" * carets)
        lines.extend(printable(f"help: {h}") for h in self.help)
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """The shape that ``stlm check --json`` prints."""
        return {
            "file": self.place.file,
            "line": self.place.line,
            "column": self.place.column,
            "key": self.key,
            "code": self.code.value,
            "message": self.message,
            "help": list(self.help),
        }
