"""The rows of benchmarks as they were read: once, however often they are asked."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import attrs

from stlm.compiler.processes import Processes, of_main
from stlm.data.reach import UnreachableError
from stlm.evaluation.items import Item, fault_of, is_row
from stlm.registry import identity_of
from stlm.spec.components import Components
from stlm.spec.errors import StlmError, WorkError
from stlm.spec.reasons import reason_of, typed_reason_of

_log = logging.getLogger(__name__)
SAMPLE_SEED = 0
"""The seed by which the rows of a benchmark are drawn: no part of a spec, so that all models see the same rows."""


@attrs.frozen
class Asked:
    """The rows of a benchmark that every model is asked, or ``why`` there are none.

    ``by_group`` says whether its score is the mean of its groups' scores.
    """

    selector: str
    items: tuple[Item, ...] = ()
    by_group: bool = False
    why: str | None = None


def read_benchmark(benchmark: Any, num_samples: int, registry: Components | None = None) -> Asked:
    """Read ``num_samples`` rows of a benchmark, 0 meaning all, or find why they cannot be had.

    A ``registry``, that of the benchmark's spec, names the package in the reason.
    """
    name = str(benchmark.selector)
    try:
        return Asked(name, tuple(read_items(benchmark, num_samples, registry)), _is_by_group(benchmark, registry))
    except WorkError as error:
        return Asked(name, why=error.why if isinstance(error, UnreachableError) else reason_of(error, limit=1000))


def read_items(benchmark: Any, num_samples: int, registry: Components | None = None) -> list[Item]:
    """Give the rows of a benchmark that every model is asked.

    Raises `WorkError` of one line where there are none to be had, where one of them cannot be asked, and where a
    plugin's benchmark fails in whatever way. The line does not name the benchmark.
    """
    try:
        items: list[Any] = list(benchmark.items(num_samples, SAMPLE_SEED))
    except (StlmError, KeyboardInterrupt):
        raise
    except BaseException as error:  # one that ends the process is no better: all others are still to be scored
        raise WorkError(f"{_owner(benchmark, registry)} failed to give its rows: {typed_reason_of(error)}") from error
    if not items:
        raise WorkError("it has no rows")
    for number, item in enumerate(items):
        fault = fault_of(item)
        if fault is not None:
            raise WorkError(f"row {_row_of(item, number)} cannot be asked: {fault}")
    return items


def _row_of(item: Any, number: int) -> int:
    """Give the row that an item says it is, or else its ``number`` among all that were given."""
    with suppress(Exception):  # a class that is derived from `Item` may do anything
        if isinstance(item, Item) and is_row(item.row):
            return item.row
    return number


def read_benchmarks(
    benchmarks: Sequence[Any], num_samples: int, processes: Processes, registry: Components | None = None
) -> list[Asked]:
    """Read the rows of a run's benchmarks, by its main process; those that cannot be had are told, a line a reason."""
    read = [of_main(processes, read_benchmark, benchmark, num_samples, registry) for benchmark in benchmarks]
    for why, names in by_reason({one.selector: one.why for one in read if one.why is not None}).items():
        listed = ", ".join(f"`{name}`" for name in names)
        _log.warning("the run goes on without benchmark%s %s: %s", "s" if names[1:] else "", listed, why)
    return read


def by_reason(absent: dict[str, str]) -> dict[str, list[str]]:
    """List under each reason what is absent for it."""
    names: dict[str, list[str]] = {}
    for name, why in absent.items():
        names.setdefault(why, []).append(name)
    return names


def _is_by_group(benchmark: Any, registry: Components | None) -> bool:
    try:
        return bool(getattr(benchmark, "by_group", False))
    except (StlmError, KeyboardInterrupt):
        raise
    except BaseException as error:
        what = "failed to say whether it is scored by group"
        raise WorkError(f"{_owner(benchmark, registry)} {what}: {typed_reason_of(error)}") from error


def _owner(benchmark: Any, registry: Components | None) -> str:
    """Name the package that a benchmark is from, where that is known."""
    identity = identity_of(type(benchmark))
    if identity is None or registry is None:
        return "it"
    return registry.find(identity.kind, benchmark.selector).plugin
