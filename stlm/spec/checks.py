"""Checks on the value of one option: each says in words what it allows, for errors, schema and reference alike."""

import math
import re
from collections.abc import Callable
from typing import Any

import attrs


@attrs.frozen
class Check:
    """A named predicate on one value.

    ``says`` completes the sentence "must be …"; ``schema`` holds the JSON Schema keywords that mean the same;
    ``outside`` is a value that the check refuses, from which tests and docs take their example.
    """

    says: str
    holds: Callable[[Any], bool]
    schema: dict[str, Any] = attrs.field(factory=dict, eq=False)
    outside: Any = attrs.field(default=None, eq=False)

    def __call__(self, instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        """Serve as an attrs validator, so that objects made in Python are held to the same rule."""
        if value is not None and not self.holds(value):
            raise ValueError(f"`{attribute.name}` must be {self.says}, got {value!r}")


def _numbers(allows: Callable[[float], bool]) -> Callable[[Any], bool]:
    """Judge numbers, of which none may be infinite; of a type that takes other values as well, those pass."""
    return lambda v: not isinstance(v, int | float) or (math.isfinite(v) and allows(v))


def at_least(least: float) -> Check:
    """Allow ``least`` and everything above it."""
    return Check(f"at least {least}", _numbers(lambda v: v >= least), {"minimum": least}, least - 1)


def between(least: float, most: float) -> Check:
    """Allow the closed interval from ``least`` to ``most``."""
    schema = {"minimum": least, "maximum": most}
    return Check(f"from {least} to {most}", _numbers(lambda v: least <= v <= most), schema, most + 1)


def below(least: float, most: float) -> Check:
    """Allow the half-open interval from ``least`` up to, and without, ``most``."""
    schema = {"minimum": least, "exclusiveMaximum": most}
    return Check(f"at least {least} and below {most}", _numbers(lambda v: least <= v < most), schema, most)


def matches(pattern: str, says: str, outside: str) -> Check:
    """Allow the strings that match ``pattern`` from end to end."""
    holds = lambda v: not isinstance(v, str) or re.fullmatch(pattern, v) is not None  # noqa: E731
    return Check(says, holds, {"pattern": f"^(?:{pattern})$"}, outside)


positive = Check("greater than 0", _numbers(lambda v: v > 0), {"exclusiveMinimum": 0}, 0)
non_negative = Check("0 or greater", _numbers(lambda v: v >= 0), {"minimum": 0}, -1)
fraction = between(0.0, 1.0)
proper_fraction = Check(
    "above 0 and below 1", _numbers(lambda v: 0 < v < 1), {"exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.0
)
dropout_rate = below(0.0, 1.0)
not_empty = Check("a string that is not empty", lambda v: len(v) > 0, {"minLength": 1}, "")
