"""What of several processes the main one does first, or alone, and what becomes of a mistake that one of them finds."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from stlm.compiler.processes import Processes
from stlm.data.telling import log_shown
from stlm.spec import StlmError


def of_main(processes: Processes, look: Callable[..., Any], *arguments: Any) -> Any:
    """Let the main process look at what is on the disk; all return what it saw, or raise the mistake that it found."""
    seen = None
    with main_first(processes):
        if processes.is_main:
            seen = look(*arguments)
    return processes.broadcast(seen)


@contextlib.contextmanager
def main_first(processes: Processes) -> Iterator[None]:
    """Let the main process do what is in the block before the others do: they then find what it made.

    A mistake of one is raised by all; where it is the main one's, the others do nothing.
    """
    if not processes.is_main:
        _agree(processes, None)
    own = None
    try:
        yield
    except StlmError as error:
        if processes.count == 1:
            raise
        own = error
    if processes.is_main:
        _agree(processes, own)
    _agree(processes, own)


def _agree(processes: Processes, own: StlmError | None) -> None:
    """Wait for all processes, however long that takes, and raise the first mistake that one of them has."""
    processes.wait()
    for rank, mistake in enumerate(processes.gather(own)):
        if mistake is not None:
            mistake.told_by_main = rank == 0
            raise mistake


@contextlib.contextmanager
def told_by_the_main(processes: Processes) -> Iterator[None]:
    """Show what stlm logs inside the block, of the main process alone: the others would say it again."""
    if processes.is_main:
        with log_shown():
            yield
        return
    log, silent = logging.getLogger("stlm"), logging.NullHandler()
    log.addHandler(silent)
    try:
        yield
    finally:
        log.removeHandler(silent)
