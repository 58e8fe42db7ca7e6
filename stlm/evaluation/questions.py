"""The rows of a run's benchmarks: read once, before its first step, and asked at each of its evaluations."""

import logging
from collections.abc import Sequence
from typing import Any

from stlm.compiler.processes import Processes
from stlm.evaluation.suite import read_items
from stlm.spec.errors import StlmError, WorkError

_log = logging.getLogger(__name__)


class Questions:
    """A benchmark whose rows were read by the main process alone and are kept, or the reason why they cannot be had."""

    def __init__(self, benchmark: Any, num_samples: int, processes: Processes) -> None:
        """Read the rows; where they cannot be had, that is told once. All processes come here at the same time."""
        self.selector = benchmark.selector
        self.by_group = getattr(benchmark, "by_group", False)
        self.known: Sequence[Any] | StlmError = _read(benchmark, num_samples) if processes.is_main else ()
        processes.wait()
        self.known = processes.broadcast(self.known)
        if isinstance(self.known, StlmError) and not isinstance(self.known, WorkError):
            self.known.told_by_main = True
            raise self.known
        if isinstance(self.known, WorkError):
            _log.warning("the run goes on without benchmark `%s`: %s", self.selector, self.known)

    def items(self, num_samples: int, seed: int) -> list[Any]:
        """Give the rows as they were read."""
        if isinstance(self.known, StlmError):
            raise self.known
        return list(self.known)


def _read(benchmark: Any, num_samples: int) -> Sequence[Any] | StlmError:
    try:
        return read_items(benchmark, num_samples)
    except StlmError as error:
        return error
