"""How a row (a JSON line, a row of Parquet or of the hub) becomes a document."""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from stlm.data.sources.memory import HeldText
from stlm.data.sources.source import Document, Example
from stlm.data.sources.template import Template
from stlm.spec.diagnostics import shortened
from stlm.spec.errors import UsageError, WorkError
from stlm.spec.suggest import nearest_names

LONG_CHARACTERS = 16 << 20
_ABSENT = object()
_TEXT = "text"


def _parsed(text: str | None) -> Template | None:
    return None if text is None else Template.parse(text)


@attrs.frozen
class RowReader:
    """Makes documents of rows: by one column, by a template, or by one for the prompt and one for what follows it.

    It can be pickled, and two that are equal make equal documents. A template that cannot be read raises `ValueError`.
    Where the choices are ``fixed``, no key is to blame for them.
    """

    text_column: str = _TEXT
    template: Template | None = attrs.field(default=None, converter=_parsed)
    prompt_template: Template | None = attrs.field(default=None, converter=_parsed)
    completion_template: Template | None = attrs.field(default=None, converter=_parsed)
    fixed: bool = False

    @property
    def has_completions(self) -> bool:
        """Whether the documents are `Example` objects."""
        return self.prompt_template is not None

    @property
    def columns(self) -> list[str]:
        """The names that a row is asked for, as the options write them (``outer.inner`` within a value), once each."""
        if self.template is None and self.prompt_template is None:
            return [self.text_column]
        templates = (self.template, self.prompt_template, self.completion_template)
        return list(dict.fromkeys(name for each in templates if each is not None for name in each.columns))

    def options(self) -> list[Any]:
        """What decides the documents beside the rows, as JSON, for a fingerprint."""
        templates = (self.template, self.prompt_template, self.completion_template)
        return [self.text_column, *(None if each is None else each.pieces for each in templates)]

    def needed(self, there: Iterable[str], place: object) -> list[str]:
        """Choose, of the columns that are ``there``, those that are read; raises `UsageError` where one is missing."""
        known = list(there)
        return list(dict.fromkeys(self._outermost(name, known, place) for name in self.columns))

    def document(self, row: Mapping[str, Any], place: object) -> Document:
        """Make a row's document; ``place``, of which only a message makes a string, says where the row stands."""
        if self.prompt_template is not None and self.completion_template is not None:
            prompt = self.prompt_template.fill(lambda name: self._written(row, name, place))
            completion = self.completion_template.fill(lambda name: self._written(row, name, place))
            return Example(prompt, completion)
        if self.template is not None:
            return _document(self.template.fill(lambda name: self._written(row, name, place)))
        text = self._value(row, self.text_column, place)
        if not isinstance(text, str):
            said = f"{place}: column `{self.text_column}` holds {named(text)}, not a string"
            is_number = isinstance(text, int | float) and not isinstance(text, bool)
            as_text = f'; `template: "{{{self.text_column}}}"` writes it as text'
            raise WorkError(said + (as_text if is_number else _inside(text, self.text_column)))
        return _document(text)

    def _written(self, row: Mapping[str, Any], name: str, place: object) -> str:
        value = self._value(row, name, place)
        if isinstance(value, str):
            return value
        if isinstance(value, int | float):
            return str(value)
        said = f"{place}: column `{name}` holds {named(value)}, not a string or a number"
        raise WorkError(said + _inside(value, name))

    def _value(self, row: Mapping[str, Any], name: str, place: object) -> Any:
        value = row.get(name, _ABSENT)
        if value is not _ABSENT:
            return value
        outer = self._outermost(name, row, place)
        value = row[outer]
        for inner in name[len(outer) + 1 :].split("."):
            if not isinstance(value, Mapping):
                raise WorkError(f"{place}: column `{outer}` holds {named(value)}, so there is no `{name}`")
            if inner not in value:
                said = f"{place}: no `{name}`; {_listed(value, inner, f'in `{outer}` there is')}"
                raise UsageError(said, key=self._key_of(name))
            outer, value = f"{outer}.{inner}", value[inner]
        return value

    def _outermost(self, name: str, there: Iterable[str], place: object) -> str:
        """Find the column that a name is, or is within."""
        for column in (name, name.partition(".")[0]):
            if column in there:
                return column
        by_template = self.template is not None or self.prompt_template is not None
        hint = "" if by_template else " (set `text_column`, or `template`)"
        said = f"{place}: no column `{name}`{hint}; {_listed(there, name, 'the columns are')}"
        raise UsageError(said, key=self._key_of(name))

    def _key_of(self, name: str) -> str | None:
        """Give the key that asks for a column; None where none was written."""
        if self.fixed:
            return None
        for field in ("template", "prompt_template", "completion_template"):
            template = getattr(self, field)
            if template is not None and name in template.columns:
                return field
        return "text_column" if self.text_column != _TEXT else None


def named(value: Any) -> str:
    """Name the kind of a value in words."""
    names = {
        type(None): "null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
        bytes: "bytes",
    }
    return names.get(type(value), f"a value of type {type(value).__name__}")


def _inside(value: Any, name: str) -> str:
    """Say what is in a column ``name`` that holds no text, and how a template asks for it."""
    if isinstance(value, dict) and value:
        inside = _names(f"{{{name}.{key}}}" for key in value)
        return f"; in it there is {_names(value)}, which a template has as {inside}"
    if not isinstance(value, list):
        return ""
    first = value[0] if value else None
    inner = f" with {_names(first)}" if isinstance(first, dict) and first else ""
    begins = f"; it begins with {named(first)}{inner}" if value else ""
    return f"{begins}; no template reaches into a list: make a column of text of it beforehand"


def _names(names: Iterable[str]) -> str:
    return shortened(", ".join(f"`{name}`" for name in names), 200)


def _listed(there: Iterable[str], wanted: str, begins: str) -> str:
    """List names, and the one that was probably meant."""
    known = list(there)
    close = nearest_names(wanted, known)
    meant = f"; did you mean `{close[0]}`?" if close else ""
    return f"{begins}: {shortened(', '.join(f'`{name}`' for name in known), 1000) or 'none'}{meant}"


def _document(text: str) -> Document:
    return text if len(text) <= LONG_CHARACTERS else HeldText(text)
