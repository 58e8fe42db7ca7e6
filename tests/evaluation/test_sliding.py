"""Windows over a long text: each position asked once, none of them without what stands before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stlm.evaluation.sliding import stride_of, windows

sizes = st.integers(1, 40).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size)))


@given(st.integers(0, 300), sizes)
def test_each_position_is_asked_once_and_with_what_a_window_owes_it(count, size_and_stride):
    size, stride = size_and_stride
    asked = []
    for start, first, end in windows(count, size, stride):
        assert 0 <= start <= first < end <= count
        assert end - start == min(size, count)
        assert start == 0 or first - start >= size - stride
        asked += range(first, end)
    assert asked == list(range(count))


def test_a_text_that_fits_is_one_window():
    assert list(windows(7, 8, 4)) == [(0, 0, 7)]
    assert list(windows(8, 8, 4)) == [(0, 0, 8)]
    assert list(windows(9, 8, 4)) == [(0, 0, 8), (1, 8, 9)]
    assert list(windows(17, 8, 4)) == [(0, 0, 8), (4, 8, 12), (8, 12, 16), (9, 16, 17)]


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (2, 1), (3, 1), (512, 256)])
def test_a_window_moves_on_by_half_its_size(window, stride):
    assert stride_of(window) == stride
