"""The signals that end a command, kept waiting while they would be lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM)


def in_main_thread() -> bool:
    """Whether this is the thread that signals come to."""
    return threading.current_thread() is threading.main_thread()


@contextmanager
def postponed() -> Iterator[None]:
    """Keep signals waiting inside the block: an import that is interrupted half way may swallow them, or break.

    After it they come as they would have come before, and in a process that ignores them they do not.
    """
    waiting: list[int] = []
    before = {number: signal.getsignal(number) for number in ENDING} if in_main_thread() else {}
    for number in before:
        signal.signal(number, lambda number, _: waiting.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in waiting:
            signal.raise_signal(number)
