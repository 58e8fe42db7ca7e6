"""How a text that may be longer than a model's window is read: by windows that overlap, each position asked once."""

from collections.abc import Iterator


def stride_of(context_window: int) -> int:
    """Return how far a window moves on: half its size, so that what it is asked for has at least as much before it."""
    return max(1, context_window // 2)


def windows(count: int, size: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """Divide ``count`` positions into windows of ``size`` at most, as (start, first, end).

    A window holds the positions from ``start`` up to ``end``, and is asked at those from ``first`` on. The first one is
    asked for all; each later one for the ``stride`` positions at its end that no window was asked before, so that all
    of them see at least ``size - stride`` positions. Only a text shorter than a window is given a short one.
    """
    end = min(size, count)
    if count:
        yield 0, 0, end
    while end < count:
        first, end = end, min(end + stride, count)
        yield end - size, first, end
