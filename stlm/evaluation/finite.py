"""Numbers of which something can be said: a model that has diverged computes none."""

import math
from typing import Any

from stlm.spec.errors import WorkError


class NoNumbersError(WorkError):
    """A model computes what no score can be made of."""


def require_finite(values: Any) -> None:
    """Raise `NoNumbersError` for a number that is not finite, however deep it lies in mappings."""
    for value in values.values() if isinstance(values, dict) else ():
        require_finite(value)
    if isinstance(values, float) and not math.isfinite(values):
        said = "what is not a number (NaN)" if math.isnan(values) else "a number that is not finite (it overflows)"
        raise NoNumbersError(f"the model computes {said}, of which no score can be made")


def for_json(values: Any) -> Any:
    """Put null in the place of numbers that are not finite, for which JSON has no word."""
    if isinstance(values, dict):
        return {name: for_json(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [for_json(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
