"""What of several processes the main one alone tells."""

import contextlib
import logging
from collections.abc import Iterator

from stlm.compiler.processes import Processes
from stlm.data.telling import log_shown


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
