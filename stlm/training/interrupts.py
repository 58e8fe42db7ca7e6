"""Ctrl-C, SIGTERM and SIGHUP end a run after its step; a second Ctrl-C ends it at once."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from stlm.data.interrupts import ENDING, in_main_thread
from stlm.training.state import TrainingState


@contextlib.contextmanager
def interruptible(run: TrainingState) -> Iterator[None]:
    """Let the signals ask ``run`` to stop, so that it can still write a checkpoint; elsewhere they mean what they did.

    Only the main thread can receive signals; in any other, nothing changes. An ignored SIGHUP (`nohup`) stays so.
    """
    if not in_main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if run.signalled and number == signal.SIGINT:
            raise KeyboardInterrupt
        run.stop = run.signalled = True
        if run.processes.is_main:
            with contextlib.suppress(OSError, ValueError):
                print("\nstopping after this step; a checkpoint will be written", file=sys.stderr, flush=True)

    asking = [*ENDING]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asking.append(signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in asking}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
