"""The table of what was compared: it fails where it must, and every component has a row in the page that it writes."""

import re
from pathlib import Path

import pytest
import torch

from tests.parity.networks import KINDS, installed_names
from tests.parity.table import Table

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "parity.md"
_ROW = re.compile(r"\| \[(\w+)\]\(components/\w+\.md\) `(\w+)` \| (.+) \| (\S+) \| (\S*) ?\| (\S+) \| (\d+) \|")


def test_the_largest_difference_is_kept():
    table, zero = Table(), torch.zeros(2)
    for off in (0.1, 0.3, 0.2):
        table.agree("norm.toy", "zero", [(zero, zero), (zero + off, zero)], [(zero, zero - off / 2)], tolerance=0.5)
    (row,) = table.rows.values()
    assert (row.output, row.gradient) == pytest.approx((0.3, 0.15))
    assert row.cases == 3
    assert "| [norm](components/norm.md) `toy` | zero | 3e-1 | 2e-1 | 5e-1 | 3 |" in table.page()


@pytest.mark.parametrize("theirs", [torch.full((2,), 0.6), torch.full((2,), torch.nan), torch.zeros(2, 1)])
def test_what_is_too_far_apart_or_of_another_shape_fails(theirs):
    table, zero = Table(), torch.zeros(2)
    with pytest.raises(AssertionError, match=r"differ by|cannot be compared"):
        table.agree("norm.toy", "zero", [(zero, theirs)], tolerance=0.5)
    with pytest.raises(AssertionError, match=r"differ by|cannot be compared"):
        table.agree("norm.toy", "zero", [(zero, zero)], [(theirs, zero)], tolerance=0.5)
    assert not table.rows


@pytest.mark.parametrize("kind", KINDS)
def test_every_component_of_a_model_has_a_row_within_its_tolerance(kind):
    rows = [row.groups() for row in _ROW.finditer(PAGE.read_text(encoding="utf-8"))]
    assert {name for of, name, *_ in rows if of == kind} == set(installed_names(kind)), "run `make parity`"
    for _, _, _, output, gradient, tolerance, _ in rows:
        assert max(float(output), float(gradient or 0)) <= float(tolerance)
