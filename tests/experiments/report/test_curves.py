"""Thinning and smoothing."""

from hypothesis import given
from hypothesis import strategies as st

from stlm.experiments.report.curves import smoothed, smoothing_width, thinned

values = st.lists(st.none() | st.floats(-1e6, 1e6), max_size=400)


@given(values, st.integers(8, 60))
def test_a_thinned_curve_keeps_its_ends_its_peaks_and_its_gaps(numbers: list[float | None], most: int) -> None:
    kept = thinned(numbers, most)
    drawn = [numbers[place] for place in kept]
    known, shown = ([v for v in some if v is not None] for some in (numbers, drawn))
    assert kept == sorted(set(kept))
    assert len(kept) <= most
    assert (min(known, default=0), max(known, default=0)) == (min(shown, default=0), max(shown, default=0))
    assert (None in numbers) == (None in drawn)
    assert not numbers or {0, len(numbers) - 1} <= set(kept)


def test_a_short_curve_is_drawn_whole() -> None:
    assert thinned([1.0, None, 2.0], 3) == [0, 1, 2]


def test_smoothing_is_the_mean_of_the_neighbors() -> None:
    assert smoothed([1.0, 2.0, 6.0, None, 3.0], 3) == [1.5, 3.0, 4.0, None, 3.0]


@given(values, st.integers(0, 30))
def test_a_smoothed_curve_stays_within_the_plain_one(numbers: list[float | None], half: int) -> None:
    known = [value for value in numbers if value is not None]
    result = smoothed(numbers, 2 * half + 1)
    assert [value is None for value in result] == [value is None for value in numbers]
    slack = 1e-5 * max((abs(value) for value in known), default=0) + 1e-6
    assert all(min(known) - slack <= value <= max(known) + slack for value in result if value is not None)


def test_only_a_long_curve_is_smoothed_and_the_width_is_odd() -> None:
    assert smoothing_width(199) == 0
    assert all(smoothing_width(lines) % 2 == 1 for lines in (200, 1000, 12_345))
