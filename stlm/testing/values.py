"""Values of an option, good and bad, from its type and its checks alone."""

import typing
from typing import Any, Literal

from stlm.spec import Code
from stlm.spec.declaration import Block, Choice, Option, Slot
from stlm.testing.checking import NoValueError

INTEGERS = (4, 8, 2, 3, 16, 6, 1, 32)
FRACTIONS = (0.25, 2.0, 1e-3, 0.5, 0.0)
SMALL: dict[Any, tuple[Any, ...]] = {int: (2, 4, 1, 8), float: (0.5, 1.0, 0.25, 2.0), bool: (False, True)}
"""What to say for an option that must be said, the first that its checks let pass."""

CORNERS: dict[Any, tuple[Any, ...]] = {int: (0, -1), float: (0.0, -1.0)}
"""Numbers that many an option cannot take, and that are easily forgotten."""

WRONG: dict[Any, list[Any]] = {
    int: ["3", 3.5, True, [3], {}, None],
    float: ["0.5", True, [0.5], {}, None],
    bool: ["true", 1, "yes", [], {}, None],
    str: [3, True, ["a"], {}, None],
    type(None): [],
}
"""Values that are not of a type."""


def of_type(wanted: Any) -> list[Any]:
    """Several values of a type: every one of a `Literal`, numbers, both truths; none of a text."""
    origin = typing.get_origin(wanted)
    if origin is Literal:
        return list(typing.get_args(wanted))
    if origin is not None:
        return [value for member in typing.get_args(wanted) for value in of_type(member)]
    known: dict[Any, list[Any]] = {int: [*INTEGERS], float: [*FRACTIONS], bool: [False, True]}
    return known.get(wanted, [])


def fitting(slot: Option, values: typing.Iterable[Any]) -> list[Any]:
    """Those of some values that an option's checks let pass."""
    return [value for value in values if all(check.holds(value) for check in slot.checks)]


def small(slot: Option, wanted: Any, nth: int) -> Any:
    """Something small that an option takes, another one for another ``nth``; raises `NoValueError` where none is known.

    A text cannot be made up: it says something of the world outside.
    """
    values = of_type(wanted) if typing.get_origin(wanted) is Literal else SMALL.get(wanted, ())
    good = fitting(slot, values)
    if not good:
        raise NoValueError(f"`{slot.key}` must be said, and nothing here knows what")
    return good[nth % len(good)]


def corners(slot: Option, wanted: Any) -> list[Any]:
    """Corner values that an option's own checks let pass."""
    members = typing.get_args(wanted) if typing.get_origin(wanted) not in (None, Literal) else (wanted,)
    return fitting(slot, [value for member in members for value in CORNERS.get(member, ())])


def of_wrong_type(slot: Slot, wanted: Any) -> list[Any]:
    """Values that are not of the type of what a key takes."""
    if isinstance(slot, Block):
        return [3, "x", [1]]
    if isinstance(slot, Choice):
        return [3, True, {}, "x"] if slot.many else [3, True, {}] if slot.listed else [3, True, [1], {}]
    return _wrong(wanted)


def _wrong(wanted: Any) -> list[Any]:
    origin = typing.get_origin(wanted)
    if origin is Literal:
        return [[], {}]
    if origin is tuple:
        return [3, "x", {}]
    if origin is not None:
        refused = [_wrong(member) for member in typing.get_args(wanted) if member is not type(None)]
        takes_null = type(None) in typing.get_args(wanted)
        return [v for v in refused[0] if all(v in r for r in refused) and not (v is None and takes_null)]
    return WRONG.get(wanted, [])


def out_of_range(slot: Slot, wanted: Any) -> list[tuple[Any, Code]]:
    """Values of the right type that a key does not take, each with the code of the mistake."""
    if isinstance(slot, Block):
        return []
    if isinstance(slot, Choice):
        return [(["no_such_name"] if slot.many else "no_such_name", Code.UNKNOWN_NAME)]
    outside = [(one.outside, Code.OUT_OF_RANGE) for one in slot.checks if one.outside is not None]
    if typing.get_origin(wanted) is Literal:
        outside.append(("no_such_name", Code.UNKNOWN_NAME))
    return outside
