"""An end to waiting for libraries that know none: they run in a thread, which is left behind where it is stuck."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from stlm.spec.errors import WorkError

_log = logging.getLogger(__name__)
T = TypeVar("T")
SILENCE_SECONDS = 75.0
"""How long nothing may arrive of a file that is downloaded."""

READING_SECONDS = 300.0
"""How long rows that are streamed may take to come; where nothing arrives at all, the client ends much earlier."""

TELLING_SECONDS = 5.0
"""After how long a wait is told of."""

_DONE = object()
_AHEAD = 2


class Pulse:
    """Beats whenever something arrives."""

    def __init__(self) -> None:
        self.beat()

    def beat(self) -> None:
        """Note that something arrived just now."""
        self.last = time.monotonic()


def within(seconds: float, what: str, call: Callable[[], T], pulse: Pulse | None = None) -> T:
    """Call, and give what comes of it; raises `WorkError` after ``seconds`` in which there was no end and no pulse."""
    answers: queue.Queue[tuple[bool, Any]] = queue.Queue()

    def run() -> None:
        try:
            answers.put((True, call()))
        except BaseException as error:  # goes on in the thread that waits
            answers.put((False, error))

    pulse, silent = pulse or Pulse(), False
    threading.Thread(target=run, daemon=True, name="stlm-hub").start()
    while True:
        left = pulse.last + seconds - time.monotonic()
        if left <= 0:
            raise WorkError(f"{what}: nothing came from the hub for {seconds:g} s")
        try:
            good, value = answers.get(timeout=left if silent else min(left, TELLING_SECONDS))
        except queue.Empty:
            if not silent and time.monotonic() - pulse.last >= TELLING_SECONDS:
                _log.info("waiting for the hub, for %.0f s at most", pulse.last + seconds - time.monotonic())
                silent = True
            continue
        if good:
            return value  # type: ignore[no-any-return]
        raise value


def patiently(items: Iterator[T], what: str, seconds: float | None = None) -> Iterator[T]:
    """Give the items, which a thread reads a little ahead; raises `WorkError` where one does not come in time."""
    read: queue.Queue[tuple[bool, Any]] = queue.Queue(_AHEAD)
    stop = threading.Event()

    def put(good: bool, value: Any) -> None:
        while not stop.is_set():
            try:
                return read.put((good, value), timeout=0.1)
            except queue.Full:
                continue

    def run() -> None:
        try:
            for item in items:
                put(True, item)
                if stop.is_set():
                    return
            put(True, _DONE)
        except BaseException as error:  # goes on in the thread that waits
            put(False, error)

    patience = READING_SECONDS if seconds is None else seconds
    threading.Thread(target=run, daemon=True, name="stlm-hub").start()
    try:
        while True:
            try:
                good, value = read.get(timeout=patience)
            except queue.Empty:
                raise WorkError(f"{what}: nothing came from the hub for {patience:g} s") from None
            if not good:
                raise value
            if value is _DONE:
                return
            yield value
    finally:
        stop.set()
