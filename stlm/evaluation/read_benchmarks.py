"""The rows of a run's benchmarks: read once, before its first step, and asked at each of its evaluations."""

import logging
from collections.abc import Sequence
from typing import Any

from stlm.compiler.processes import Processes
from stlm.evaluation.suite import read_items, reason_of
from stlm.spec.errors import StlmError, WorkError

_log = logging.getLogger(__name__)


class ReadBenchmark:
    """A benchmark whose rows were read by the main process alone and are kept, or the reason why they cannot be had."""

    def __init__(self, benchmark: Any, num_samples: int, processes: Processes) -> None:
        """Read the rows; all processes come here at the same time."""
        self.selector = benchmark.selector
        self.by_group = getattr(benchmark, "by_group", False)
        self.known: Sequence[Any] | StlmError = _read(benchmark, num_samples) if processes.is_main else ()
        processes.wait()
        self.known = processes.broadcast(self.known)
        if isinstance(self.known, StlmError) and not isinstance(self.known, WorkError):
            self.known.told_by_main = True
            raise self.known

    def items(self, num_samples: int, seed: int) -> list[Any]:
        """Give the rows as they were read."""
        if isinstance(self.known, StlmError):
            raise self.known
        return list(self.known)


def read_benchmarks(benchmarks: Sequence[Any], num_samples: int, processes: Processes) -> list[ReadBenchmark]:
    """Read the rows of all benchmarks; those that cannot be had are told once, in one line for each reason."""
    read = [ReadBenchmark(benchmark, num_samples, processes) for benchmark in benchmarks]
    failed = [(one.selector, one.known) for one in read if isinstance(one.known, WorkError)]
    lacking = {name: reason_of(name, error) for name, error in failed}
    for why, names in by_reason(lacking).items():
        listed = ", ".join(f"`{name}`" for name in names)
        _log.warning("the run goes on without benchmark%s %s: %s", "s" if names[1:] else "", listed, why)
    return read


def by_reason(absent: dict[str, str]) -> dict[str, list[str]]:
    """List under each reason what is absent for it."""
    names: dict[str, list[str]] = {}
    for name, why in absent.items():
        names.setdefault(why, []).append(name)
    return names


def _read(benchmark: Any, num_samples: int) -> Sequence[Any] | StlmError:
    try:
        return read_items(benchmark, num_samples)
    except StlmError as error:
        return error
