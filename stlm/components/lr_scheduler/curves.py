"""The learning rate as a curve: up to a peak, along it, and down to a floor."""

import math
from collections.abc import Callable

SHAPES: dict[str, Callable[[float], float]] = {
    "1-sqrt": lambda x: 1 - math.sqrt(x),
    "linear": lambda x: 1 - x,
    "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
}
"""How a decay falls: from 1 at its beginning, x = 0, to 0 at its end, x = 1."""


def curve(
    peak: float, floor: float, *, warmup: int, decay: tuple[float, float] = (math.inf, math.inf), shape: str = "linear"
) -> Callable[[int], float]:
    """Return the learning rate of optimizer step ``s``, counted from 0.

    - ``s < warmup``: ``peak · (s + 1) / warmup``: no step has a rate of 0, and the last of the warm-up has all of it;
    - then ``peak``, up to the first step of ``decay``;
    - between the two steps of ``decay``: from ``peak`` down to ``floor`` in one of the `SHAPES`;
    - from its second step on: ``floor``.
    """
    falls, (begin, end) = SHAPES[shape], decay

    def rate(step: int) -> float:
        if step < warmup:
            return peak * (step + 1) / warmup
        if step >= end:
            return floor
        if step < begin:
            return peak
        return floor + (peak - floor) * falls((step - begin) / (end - begin))

    return rate
