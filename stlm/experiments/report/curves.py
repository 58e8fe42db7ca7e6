"""Numbers over the course of a run: drawn with fewer points than there are lines, without losing a peak."""

from collections.abc import Sequence

from stlm.experiments.report.quantities import rounded

MOST_POINTS = 2000
"""Points of one curve; twice as many as a wide screen has columns for it."""


def thinned(values: Sequence[float | None], most: int = MOST_POINTS) -> list[int]:
    """Return the places of the values to draw: all of them, or the lowest and the highest of each stretch.

    The first and the last value are always among them, and so is the place of a gap (None) where a stretch has one.
    """
    if len(values) <= most:
        return list(range(len(values)))
    kept = {0, len(values) - 1}
    stretches = max(1, (most - 2) // 3)
    for stretch in range(stretches):
        places = range(stretch * len(values) // stretches, (stretch + 1) * len(values) // stretches)
        known = [(value, place) for place in places if (value := values[place]) is not None]
        if known:
            kept.update((min(known)[1], max(known)[1]))
        if len(known) < len(places):
            kept.add(next(place for place in places if values[place] is None))
    return sorted(kept)


def smoothed(values: Sequence[float | None], width: int) -> list[float | None]:
    """Return the mean of the ``width`` values around each, of fewer at both ends; a gap is left out and stays one."""
    sums, counts = [0.0], [0]
    for value in values:
        sums.append(sums[-1] + (value or 0.0))
        counts.append(counts[-1] + (value is not None))
    result: list[float | None] = []
    for place, value in enumerate(values):
        low, high = max(0, place - width // 2), min(len(values), place + width // 2 + 1)
        known = counts[high] - counts[low]
        result.append(rounded((sums[high] - sums[low]) / known) if known and value is not None else None)
    return result


def smoothing_width(lines: int) -> int:
    """Choose how many values a smoothed curve takes together: a fiftieth, odd; 0, which means none, of few."""
    return 0 if lines < 200 else 2 * (lines // 100) + 1
