"""What one option takes, in the words of JSON Schema: its type, its checks, its default and its sentence."""

import types
import typing
from contextlib import suppress
from typing import Any, Literal

from stlm.spec.checks import Check
from stlm.spec.declaration import REQUIRED, Derived, Option
from stlm.spec.diagnostics import Place
from stlm.spec.reading import LARGEST_INT
from stlm.spec.structure import LARGEST, MismatchesError, node_of, structure

_NAMES = {bool: "boolean", str: "string", type(None): "null"}
_NUMBERS: dict[Any, dict[str, Any]] = {
    int: {"type": "integer", "minimum": -LARGEST_INT, "maximum": LARGEST_INT},
    float: {"type": "number", "exclusiveMinimum": -LARGEST, "exclusiveMaximum": LARGEST},
}
_SIDES = (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"))


def of_option(slot: Option, wanted: Any, default: Any) -> dict[str, Any]:
    """Say what an option takes; ``default`` is the one that it has where it stands."""
    said = {"description": described(slot.doc, default, *slot.checks), **_checked(of_type(wanted), slot.checks)}
    if default is not REQUIRED and not isinstance(default, Derived):
        with suppress(MismatchesError):  # a defect of who declares it, which the check tells
            said["default"] = _plain(structure(node_of(default, Place("", 1, 1)), wanted))
    return said


def described(doc: str, default: Any = REQUIRED, *checks: Check) -> str:
    """Give the sentence of a key, with what no keyword of the schema says as clearly."""
    sentences = [doc, *(f"It is {check.says}." for check in checks if "pattern" in check.schema)]
    if isinstance(default, Derived):
        sentences.append(f"By default: {default.says}.")
    return " ".join(sentences)


def of_type(wanted: Any) -> dict[str, Any]:
    """Say what a type takes; `stlm.spec.structure` is where values are held to it."""
    origin, members = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return {}
    if wanted in _NUMBERS:
        return dict(_NUMBERS[wanted])
    if wanted in _NAMES:
        return {"type": _NAMES[wanted]}
    if origin is Literal:
        return {"enum": list(members)}
    if origin is tuple:
        return {"type": "array", "items": of_type(members[0])}
    assert origin in (typing.Union, types.UnionType), wanted
    return _any_of([of_type(member) for member in members])


def _any_of(branches: list[dict[str, Any]]) -> dict[str, Any]:
    """Join alternatives, in one mapping where no two of them say the same keyword otherwise."""
    said: dict[str, Any] = {}
    for branch in branches:
        if set(said) & (set(branch) - {"type"}) or "enum" in {*said, *branch}:
            return {"anyOf": branches}
        kinds = [*_kinds(said), *_kinds(branch)]
        said = {**said, **branch, "type": kinds}
    return {**said, "type": said["type"][0] if len(said["type"]) == 1 else said["type"]}


def _kinds(said: dict[str, Any]) -> list[str]:
    kinds = said.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _checked(said: dict[str, Any], checks: tuple[Check, ...]) -> dict[str, Any]:
    """Add what checks allow: a bound takes the place of the type's own, what another check says stands beside it."""
    asked: dict[str, Any] = {}
    beside: list[dict[str, Any]] = []
    for check in checks:
        if set(check.schema) & set(asked):
            beside.append(check.schema)
        else:
            asked.update(check.schema)
    for side in _SIDES:
        if any(key in asked for key in side):
            said = {key: value for key, value in said.items() if key not in side}
    return {**said, **asked, **({"allOf": beside} if beside else {})}


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
