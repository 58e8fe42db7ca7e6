"""Type-directed structuring of one option's value, through cattrs: the field's type says what may be written.

The hooks are strict where YAML or Python are obliging: a boolean is no integer, ``"512"`` is no number, ``no`` is no
boolean. What is structured are nodes rather than plain values, so that each mistake knows its place, inside lists too.
"""

import math
import re
import types
import typing
from typing import Any, Literal

import cattrs

from stlm.spec.diagnostics import Code, Place
from stlm.spec.reading import LARGEST_INT, QUOTE_BRACE, Entry, Mapping, Node, Scalar, Sequence, describe
from stlm.spec.suggest import nearest

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
LARGEST, _SMALLEST = 3.4e38, 1.2e-38  # what float32 holds: a value beyond would be inf, or 0, where it is used


class MismatchError(Exception):
    """One node does not fit the type that is wanted of it."""

    def __init__(self, node: Node, code: Code, message: str, help_lines: tuple[str, ...] = ()) -> None:
        self.node, self.code, self.message, self.help = node, code, message, help_lines
        super().__init__(message)


class MismatchesError(Exception):
    """Several nodes of one value do not fit."""

    def __init__(self, errors: list[MismatchError]) -> None:
        self.errors = errors
        super().__init__("; ".join(e.message for e in errors))


def structure(node: Node, wanted: Any) -> Any:
    """Turn a node into a value of type ``wanted``; raises `MismatchesError` with every mistake in it."""
    try:
        return _converter.structure(node, wanted)
    except MismatchError as error:
        raise MismatchesError([error]) from None


def as_wanted(value: Any, wanted: Any) -> Any:
    """A default as it would have been read: an integer is a number where numbers are wanted and integers are not."""
    members = typing.get_args(wanted) if _origin(wanted) in (typing.Union, types.UnionType) else (wanted,)
    if isinstance(value, int) and not isinstance(value, bool) and float in members and int not in members:
        return float(value)
    return value


def can_structure(wanted: Any) -> bool:
    """Whether a spec can say values of a type: the plain ones, enumerations, unions and tuples of any length."""
    origin, members = _origin(wanted), typing.get_args(wanted)
    if origin is Literal or wanted in (int, float, bool, str, type(None), Any):
        return True
    if origin is tuple:
        return len(members) == 2 and members[1] is Ellipsis and can_structure(members[0])
    return origin in (typing.Union, types.UnionType) and all(can_structure(m) for m in members)


def _origin(wanted: Any) -> Any:
    return typing.get_origin(wanted)


def type_words(wanted: Any) -> str:
    """Say in words what a type takes: "an integer", "`auto`, true or false"."""
    origin = typing.get_origin(wanted)
    if origin is Literal:
        return ", ".join(f"`{str(a).lower() if isinstance(a, bool) else a}`" for a in typing.get_args(wanted))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_words(a) for a in typing.get_args(wanted))
    if origin is tuple:
        return f"a list, each item {type_words(typing.get_args(wanted)[0])}"
    names = {
        int: "an integer",
        float: "a number",
        bool: "true or false",
        str: "a string",
        type(None): "null",
        Any: "anything",
    }
    return names.get(wanted, str(wanted))


def _wrong(node: Node, wanted: Any, *help_lines: str) -> MismatchError:
    return MismatchError(node, Code.WRONG_TYPE, f"takes {type_words(wanted)}, got {describe(node)}", help_lines)


def _unquoted(node: Node, *wanted: type) -> tuple[str, ...]:
    """Where a string only needs its quotes taken off, or a word of YAML 1.1 its modern form, say so."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        return ()
    if bool in wanted and node.text.lower() in ("yes", "on", "no", "off", "y", "n"):
        return (f"write {'true' if node.text.lower() in ('yes', 'on', 'y') else 'false'}",)
    percent = _PERCENT.fullmatch(node.text)
    if percent and float in wanted:
        return (f"write {float(percent[1]) / 100:g}",)
    if node.quoted and (int in wanted or float in wanted):
        try:
            float(node.text)
        except ValueError:
            return ()
        return (f"take the quotes off: {node.text}",)
    return ()


def _int(node: Node, _: Any) -> int:
    if isinstance(node, Scalar) and isinstance(node.value, int) and not isinstance(node.value, bool):
        if abs(node.value) > LARGEST_INT:
            raise MismatchError(node, Code.OUT_OF_RANGE, f"must be at most {LARGEST_INT}, got {node.text[:40]}")
        return node.value
    if (
        isinstance(node, Scalar)
        and isinstance(node.value, float)
        and node.value.is_integer()
        and abs(node.value) < 1e18
    ):
        raise _wrong(node, int, f"write {int(node.value)}")
    raise _wrong(node, int, *_unquoted(node, int))


def _float(node: Node, _: Any) -> float:
    if isinstance(node, Scalar) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        value = float(node.value) if abs(node.value) < LARGEST else math.inf
        if not math.isfinite(value):
            raise MismatchError(node, Code.OUT_OF_RANGE, f"must be finite in 32 bits, got {node.text[:40]}")
        if value and abs(value) < _SMALLEST:
            raise MismatchError(node, Code.OUT_OF_RANGE, f"is too near to 0 for 32 bits, got {node.text[:40]}")
        return value
    raise _wrong(node, float, *_unquoted(node, float))


def _bool(node: Node, _: Any) -> bool:
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    raise _wrong(node, bool, *_unquoted(node, bool))


def _str(node: Node, _: Any) -> str:
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return node.value
    help_lines = (f'put it in quotes: "{node.text}"',) if isinstance(node, Scalar) and node.value is not None else ()
    if isinstance(node, Mapping) and node.place.text[node.place.column - 1 :].startswith("{"):
        help_lines = (QUOTE_BRACE,)
    raise _wrong(node, str, *help_lines)


def _literal(node: Node, wanted: Any) -> Any:
    allowed = typing.get_args(wanted)
    if isinstance(node, Scalar):
        for value in allowed:
            if value == node.value and type(value) is type(node.value):
                return value
        if isinstance(node.value, str):
            message = f"takes {type_words(wanted)}, got `{node.text}`"
            raise MismatchError(node, Code.UNKNOWN_NAME, message, nearest(node.value, [str(a) for a in allowed]))
    raise _wrong(node, wanted)


def _union(node: Node, wanted: Any) -> Any:
    members = typing.get_args(wanted)
    if isinstance(node, Scalar) and node.value is None and type(None) in members:
        return None
    errors: list[MismatchError] = []
    for member in members:
        if member is not type(None):
            try:
                return _converter.structure(node, member)
            except MismatchError as error:
                errors.append(error)
    telling = [e for e in errors if e.code is not Code.WRONG_TYPE]  # the right type, the wrong value
    if len(errors) == 1:
        raise errors[0]
    if telling:
        raise MismatchError(node, telling[0].code, f"takes {type_words(wanted)}, got {describe(node)}", telling[0].help)
    raise _wrong(node, wanted, *_unquoted(node, *[m for m in members if isinstance(m, type)]))


def _tuple(node: Node, wanted: Any) -> tuple[Any, ...]:
    if not isinstance(node, Sequence):
        help_lines = (f"write [{node.text}]",) if isinstance(node, Scalar) and node.value is not None else ()
        raise _wrong(node, wanted, *help_lines)
    values, errors = [], []
    for item in node:
        try:
            values.append(_converter.structure(item, typing.get_args(wanted)[0]))
        except MismatchError as error:
            errors.append(error)
        except MismatchesError as inner:
            errors.extend(inner.errors)
    if errors:
        raise MismatchesError(errors)
    return tuple(values)


def as_text(value: Any) -> str:
    """A value as YAML has it, for a message."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(as_text, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def plain(node: Node) -> Any:
    """The value of a node without its places."""
    if isinstance(node, Mapping):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node]
    return node.value


def node_of(value: Any, place: Place) -> Node:
    """Give the node of a value that Python has, as if it had been written at a place."""
    if isinstance(value, dict):
        return Mapping({str(key): Entry(str(key), place, node_of(one, place)) for key, one in value.items()}, place)
    if isinstance(value, list | tuple):
        return Sequence(tuple(node_of(one, place) for one in value), place)
    return Scalar(value, place, as_text(value), quoted=isinstance(value, str))


_converter = cattrs.Converter(detailed_validation=False)
_converter.register_structure_hook(int, _int)
_converter.register_structure_hook(float, _float)
_converter.register_structure_hook(bool, _bool)
_converter.register_structure_hook(str, _str)
_converter.register_structure_hook_func(lambda t: t is Any, lambda node, _: plain(node))
_converter.register_structure_hook_func(lambda t: _origin(t) is Literal, _literal)
_converter.register_structure_hook_func(lambda t: _origin(t) in (typing.Union, types.UnionType), _union)
_converter.register_structure_hook_func(lambda t: _origin(t) is tuple, _tuple)
