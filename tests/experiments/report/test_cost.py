"""What a run has cost, worked out from its lines."""

import pytest

from stlm.experiments.report.cost import Cost

LINES = (
    {"step": 10, "tokens": 900, "tokens_per_second": 100.0, "mfu": 0.1},
    {"step": 30, "tokens": 2900, "tokens_per_second": 200.0, "mfu": 0.4},
    {"step": 40, "tokens": None, "tokens_per_second": None, "mfu": None},
)


@pytest.mark.parametrize(("step", "tokens"), [(0, 0), (5, 450), (10, 900), (20, 1900), (30, 2900), (40, 3900)])
def test_tokens_are_those_of_the_lines_and_in_proportion_between_them(step: int, tokens: float) -> None:
    assert Cost(LINES, 100, 0.0).tokens(step) == tokens


def test_without_lines_each_step_has_the_tokens_of_the_spec() -> None:
    assert Cost((), 100, 0.0).tokens(7) == 700
    assert Cost((), 100, 0.0).throughput is None


def test_flops_are_those_of_all_tokens_that_went_through() -> None:
    assert Cost(LINES, 100, 6.0).flops(40) == 40 * 100 * 6


def test_time_and_means_weigh_each_line_by_its_steps() -> None:
    cost = Cost(LINES, 100, 0.0)
    assert cost.seconds == 10 * 100 / 100 + 20 * 100 / 200
    assert cost.mean("mfu") == pytest.approx((10 * 0.1 + 20 * 0.4) / 30)
    assert cost.mean("nothing") is None
