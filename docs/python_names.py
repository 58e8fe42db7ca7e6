"""The reference page of the Python names, written from their signatures and docstrings.

python docs/python_names.py docs/reference/python.md
"""

import inspect
import re
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import ModuleType

import attrs

import stlm
import stlm.registry

HEAD = """<!-- Written by `make docs` from the docstrings; change those, not this page. -->
# The Python names

`import stlm` gives the names of the first part and no others, and imports no torch by itself; `stlm.registry` has what
declarations are made of. [Use stlm from Python](../how-to/use-from-python.md) shows the first at work,
[write a component](../how-to/write-a-component.md) the others.
"""
PARTS = (
    (stlm, "## `stlm`", "To read a spec, to compile, train and evaluate it, and to open what was trained."),
    (stlm.registry, "## `stlm.registry`", "For those who write components; it imports no torch either."),
)
_HOMES = re.compile(r"\b(?:[a-z_]+\.)+(?=[A-Z]\w*)|~")


def page() -> str:
    """The page: each public name with its signature and what its docstring says."""
    lines = [HEAD]
    for module, title, says in PARTS:
        lines += [title, "", says, ""]
        for name in sorted(module.__all__, key=lambda name: (not name[0].islower(), name.lower())):
            if module is stlm or name not in stlm.__all__:
                lines += _entry(module, name)
    return "\n".join(lines).rstrip() + "\n"


def _entry(module: ModuleType, name: str) -> list[str]:
    value = getattr(module, name)
    title = f"### `{module.__name__}.{name}`"
    if inspect.isfunction(value):
        return [title, "", "```text", _signature(name, value), "```", "", inspect.cleandoc(value.__doc__ or ""), ""]
    if not inspect.isclass(value):
        return [title, "", _constant(value), ""]
    lines = [title, "", inspect.cleandoc(value.__doc__ or ""), ""]
    rows = [*_fields(value), *_members(value)]
    return [*lines, "| has | which is |", "|---|---|", *rows, ""] if rows else lines


def _constant(value: object) -> str:
    """What a value is that is neither a function nor a class."""
    if isinstance(value, stlm.registry.Check):
        return f"A check of an `option`: its value must be {value.says}."
    if value is stlm.registry.hook:
        return "Marks a method that is called at [the moment of a run](components/moments.md) whose name it has."
    return f"Is `{value!r}` now."


def _signature(name: str, function: Callable[..., object]) -> str:
    """A function's arguments and what it gives, a line each where they do not fit one; types without their modules."""
    written = inspect.signature(function)
    line = _HOMES.sub("", f"{name}{written}")
    if len(line) <= 100:
        return line
    pieces = []
    for argument in written.parameters.values():
        if argument.kind is argument.KEYWORD_ONLY and "*" not in pieces and not any(p.startswith("*") for p in pieces):
            pieces.append("*")
        pieces.append(_HOMES.sub("", str(argument)))
    gives = _HOMES.sub("", inspect.formatannotation(written.return_annotation))
    return "\n".join([f"{name}(", *(f"    {piece}," for piece in pieces), f") -> {gives}"])


def _fields(cls: type) -> list[str]:
    """A row for each argument that a class keeps under a public name, with its type."""
    if attrs.has(cls):
        kept = {field.name for field in attrs.fields(cls)}
    elif inspect.isfunction(cls.__init__):
        kept = set(cls.__init__.__code__.co_names)  # the names of attributes that it sets are among them
    else:
        return []
    arguments = inspect.signature(cls).parameters.values()
    named = [(one.name, _HOMES.sub("", inspect.formatannotation(one.annotation))) for one in arguments]
    return [f"| `{name}` | `{of.replace(' | ', '` or `')}` |" for name, of in named if name in kept]


def _members(cls: type) -> list[str]:
    """A row for each public property and method, with what it says."""
    rows = []
    for name, member in vars(cls).items():
        if name.startswith("_") or not (isinstance(member, property | cached_property) or inspect.isfunction(member)):
            continue
        call = f"({', '.join(list(inspect.signature(member).parameters)[1:])})" if inspect.isfunction(member) else ""
        rows.append(f"| `{name}{call}` | {_in_a_cell(inspect.cleandoc(member.__doc__ or ''))} |")
    return rows


def _in_a_cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
