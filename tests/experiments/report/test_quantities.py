"""Numbers with their units."""

import pytest

from stlm.experiments.report.quantities import count, power
from stlm.experiments.report.summary import moment


@pytest.mark.parametrize(("value", "text"), [(30_000_000, "30.0 M"), (97_216, "97.2 k"), (812, "812"), (0, "0")])
def test_counts_have_three_digits(value: float, text: str) -> None:
    assert count(value) == text


@pytest.mark.parametrize(("value", "text"), [(3.14e15, "3.1e15"), (4.2e6, "4.2e6"), (12, "1.2e1")])
def test_large_numbers_have_a_power(value: float, text: str) -> None:
    assert power(value) == text


def test_a_moment_is_in_one_time_zone_and_anything_else_stays() -> None:
    assert moment("2026-03-01T10:30:00+01:00") == "2026-03-01 09:30 UTC"
    assert moment("yesterday") == "yesterday"
