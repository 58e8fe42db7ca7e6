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
import stlm.evaluation.drawing
import stlm.evaluation.items
import stlm.interchange
import stlm.nn.cost
import stlm.nn.modes
import stlm.nn.sharded
import stlm.registry
import stlm.spec
import stlm.testing
import stlm.training.parameters

HEAD = """<!-- Written by `make docs` from the docstrings; change those, not this page. -->
# The Python names

`import stlm` gives the names of the first part and no others, and imports no torch by itself. The other parts are for
those who write components: `stlm.registry` has what declarations are made of, the rest is for the code behind them;
[what a package may import](../explanation/component-contract.md#what-a-package-may-import) is said with the contract.

[Use stlm from Python](../how-to/use-from-python.md) shows the first part at work,
[write a component](../how-to/write-a-component.md) and [write a plugin](../how-to/write-a-plugin.md) the others.
"""


@attrs.frozen
class Part:
    """A heading of the page: a module, and which of its names; ``is_made``: its classes are called by the reader."""

    module: ModuleType
    says: str
    names: tuple[str, ...] = ()
    is_made: bool = False

    def listed(self) -> list[str]:
        """The names in the order of the page: `__all__`, or, where a module has none, the functions that it defines."""
        defined = [
            name
            for name, value in vars(self.module).items()
            if inspect.isfunction(value) and value.__module__ == self.module.__name__ and not name.startswith("_")
        ]
        names = self.names or getattr(self.module, "__all__", defined)
        return sorted(names, key=lambda name: (not name[0].islower(), name.lower()))


PARTS = (
    Part(stlm, "To read a spec, to compile, train and evaluate it, and to open what was trained."),
    Part(stlm.registry, "What declarations are made of; it imports no torch either."),
    Part(stlm.nn, "The parts of a network in plain PyTorch, to build others with.", is_made=True),
    Part(stlm.nn.cost, "What a module costs; for one that counts its own parts, and the rest by these rules."),
    Part(stlm.nn.modes, "How a network is called, in training and in evaluation."),
    Part(stlm.nn.sharded, "For optimizers that need more of a tensor than the part which this process holds."),
    Part(stlm.training.parameters, "For optimizers."),
    Part(stlm.evaluation.items, "For benchmarks.", names=("Item",), is_made=True),
    Part(stlm.evaluation.drawing, "Which rows of a benchmark are asked."),
    Part(stlm.interchange, "For exports.", names=("Weight",), is_made=True),
    Part(stlm.spec, "Errors that a component raises, and what reads specs."),
    Part(stlm.testing, "The checks that each kind must pass, and what the tests of a package are made of."),
)
_HOMES = re.compile(r"\b(?:[a-z_]+\.)+(?=[A-Z]\w*)|~")
_QUOTED = re.compile(r"'([A-Z]\w*(?: \| None)?)'")


def page() -> str:
    """The page: each public name with its signature and what its docstring says."""
    lines = [HEAD]
    for part in PARTS:
        lines += [f"## `{part.module.__name__}`", "", part.says, ""]
        for name in part.listed():
            if part.module is stlm or name not in stlm.__all__:
                lines += _entry(part, name)
    return "\n".join(lines).rstrip() + "\n"


def _entry(part: Part, name: str) -> list[str]:
    value = getattr(part.module, name)
    title = f"### `{part.module.__name__}.{name}`"
    if not inspect.isclass(value):
        if not inspect.isfunction(value):
            return [title, "", _constant(part.module, name, value), ""]
        return [title, "", *_call(name, value), inspect.cleandoc(value.__doc__ or ""), ""]
    call = _call(name, value) if part.is_made else []
    lines = [title, "", *call, inspect.cleandoc(value.__doc__ or ""), ""]
    rows = [*([] if part.is_made else _fields(value)), *_members(value)]
    return [*lines, "| has | which is |", "|---|---|", *rows, ""] if rows else lines


def _call(name: str, value: Callable[..., object]) -> list[str]:
    return ["```text", _signature(name, value), "```", ""]


def _constant(module: ModuleType, name: str, value: object) -> str:
    """What a value is that is neither a function nor a class."""
    if isinstance(value, stlm.registry.Check):
        return f"A check of an `option`: its value must be {value.says}."
    if value is stlm.registry.hook:
        return "Marks a method that is called at [the moment of a run](components/moments.md) whose name it has."
    return f"Is `{value!r}` now. {_said_below(module, name)}".rstrip()


def _said_below(module: ModuleType, name: str) -> str:
    """The text under the line that gives a name its value, in whichever file of the package that is."""
    below = re.compile(rf'^{name}\b[^\n]* = [^\n]*(?:\n [^\n]*)*(?:\n[])}}])?\n"""(.+?)"""', re.MULTILINE | re.DOTALL)
    homes = [home for path, home in sorted(sys.modules.items()) if path.startswith(f"{module.__name__}.")]
    sources = (inspect.getsource(home) for home in homes if hasattr(home, name))
    return next((inspect.cleandoc(said[1]) for source in sources if (said := below.search(source))), "")


def _signature(name: str, function: Callable[..., object]) -> str:
    """A function's arguments and what it gives, a line each where they do not fit one; types without their modules."""
    written = inspect.signature(function)
    if inspect.isclass(function):
        written = written.replace(return_annotation=written.empty)
    line = _plain(f"{name}{written}")
    if len(line) <= 100:
        return line
    pieces = []
    for argument in written.parameters.values():
        if argument.kind is argument.KEYWORD_ONLY and "*" not in pieces and not any(p.startswith("*") for p in pieces):
            pieces.append("*")
        pieces.append(_plain(str(argument)))
    gives = _plain(str(written.replace(parameters=()))).removeprefix("()")
    return "\n".join([f"{name}(", *(f"    {piece}," for piece in pieces), f"){gives}"])


def _plain(types: str) -> str:
    """Leave out the modules of types, and the quotation marks around those that come later in their file."""
    return _HOMES.sub("", _QUOTED.sub(r"\1", types))


def _fields(cls: type) -> list[str]:
    """A row for each argument that a class keeps under a public name, with its type."""
    if attrs.has(cls):
        kept = {field.name for field in attrs.fields(cls)}
    elif inspect.isfunction(cls.__init__):
        kept = set(cls.__init__.__code__.co_names)  # the names of attributes that it sets are among them
    else:
        return []
    arguments = inspect.signature(cls).parameters.values()
    named = [(one.name, _plain(inspect.formatannotation(one.annotation))) for one in arguments]
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
