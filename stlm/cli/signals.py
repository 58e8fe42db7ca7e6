"""What signals mean to a command: SIGINT and SIGTERM interrupt it, once; training has ways of its own."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from stlm.data.interrupts import ENDING, in_main_thread


def interrupt(number: int, frame: FrameType | None) -> None:
    """End what is being done."""
    raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `KeyboardInterrupt` inside the block; what they did before is put back after it."""
    before = {number: signal.getsignal(number) for number in ENDING} if in_main_thread() else {}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is interrupt:
                signal.signal(number, handler)


def ignore_further() -> None:
    """Ignore signals from here on: the command is already ending."""
    if in_main_thread():
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
