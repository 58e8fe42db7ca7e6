"""What a disk has refused to take, kept until it does: a full disk is no reason to lose a run."""

import logging
from collections import deque
from collections.abc import Callable
from typing import BinaryIO

from stlm.spec.errors import WorkError

_log = logging.getLogger(__name__)


class Unwritten:
    """Does writes in the order in which they are put, each once; those that fail wait, and are tried again at the next.

    That something waits is told once, when it begins to.
    """

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], None]] = deque()
        self.error: WorkError | None = None
        """Why the first of them waits."""

    def put(self, write: Callable[[], None]) -> None:
        """Do a write after those that wait; it raises `WorkError` where the disk refuses, and is called again then."""
        self.waiting.append(write)
        told = self.error is not None
        self.retry()
        if self.error is not None and not told:
            _log.warning("%s; it is kept in memory and tried again, and the run goes on", self.error)

    def retry(self) -> None:
        """Do what waits, as far as the disk lets it."""
        self.error = None
        while self.waiting and self.error is None:
            try:
                self.waiting[0]()
                self.waiting.popleft()
            except WorkError as error:
                self.error = error

    def finish(self, run_failed: bool) -> None:
        """Try for the last time. Raises `WorkError` where something still waits; of a run that failed, it is told."""
        self.retry()
        if self.error is None:
            return
        if not run_failed:
            raise WorkError(f"{self.error}; it was so to the end of the run, and what was kept in memory is lost")
        _log.warning("%s", self.error)


def append(file: BinaryIO, rest: bytearray) -> None:
    """Write bytes to an unbuffered file; what was written is taken off ``rest``, also where the disk then refuses."""
    while rest:
        del rest[: file.write(rest)]
