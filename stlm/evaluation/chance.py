"""Whether a score can be told from guessing."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95


def is_at_chance(right: int, chances: Sequence[float], confidence: float = CONFIDENCE) -> bool:
    """Whether ``right`` questions answered right are what guessing gives too.

    ``chances`` are each question's chance to be guessed: one over the number of its choices. The test is exact and has
    two sides: guessing gives so few right answers, and it gives so many, more often than half of what ``confidence``
    leaves. The number of right guesses is a sum of binomial variables, one for each chance that occurs.
    """
    distribution = np.ones(1)
    for chance in sorted(set(chances)):
        distribution = np.convolve(distribution, _binomial(list(chances).count(chance), chance))
    tail = (1 - confidence) / 2
    return bool(distribution[: right + 1].sum() > tail and distribution[right:].sum() > tail)


def _binomial(n: int, p: float) -> NDArray[np.float64]:
    """Return the probabilities of 0 to n successes in n trials."""
    if p >= 1:
        return np.array([0.0] * n + [1.0])
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
        for k in range(n + 1)
    ]
    probabilities: NDArray[np.float64] = np.exp(np.array(logs))
    return probabilities
