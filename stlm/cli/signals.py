"""What signals mean to a command: SIGINT and SIGTERM interrupt it, once; training has ways of its own."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def interrupt(number: int, frame: FrameType | None) -> None:
    """End what is being done."""
    raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `KeyboardInterrupt` inside the block; what they did before is put back after it."""
    before = {number: signal.getsignal(number) for number in _ENDING} if _in_main_thread() else {}
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
    if _in_main_thread():
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def postponed() -> Iterator[None]:
    """Keep signals waiting inside the block: an import that is interrupted half way may swallow them, or break."""
    waiting: list[int] = []
    before = {number: signal.getsignal(number) for number in _ENDING} if _in_main_thread() else {}
    for number in before:
        signal.signal(number, lambda number, _: waiting.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if waiting:
        raise KeyboardInterrupt
