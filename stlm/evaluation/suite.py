"""All evaluations of a model, as one dictionary: the one that ``stlm eval --json`` prints."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from stlm.data.reach import UnreachableError
from stlm.evaluation.held_out import HeldOut, measure_held_out
from stlm.evaluation.items import fault_of
from stlm.evaluation.multiple_choice import record_of, score_items
from stlm.evaluation.passage_modeling import measure_passages
from stlm.evaluation.passages import Passages
from stlm.evaluation.subject import Subject
from stlm.registry import identity_of
from stlm.registry.manager import installed
from stlm.spec.errors import StlmError, WorkError

Sample = Callable[[dict[str, Any]], None]
Progress = Callable[[str, int, int], None]
"""Told of a part how much of it is done, of how much."""
Finished = Callable[[dict[str, Any]], None]
"""Given the results of a part as soon as they are there, in the form that the whole has."""

SAMPLE_SEED = 0
"""The seed by which the rows of a benchmark are drawn: no part of a spec, so that all models see the same rows."""


def evaluate_subject(
    subject: Subject,
    held_out: HeldOut | None,
    benchmarks: Sequence[Any],
    num_samples: int,
    sample: Sample | None = None,
    *,
    passages: Passages | WorkError | None = None,
    progress: Progress | None = None,
    finished: Finished | None = None,
) -> dict[str, Any]:
    """Run every evaluation that there is something for; a part that did not run is not in the result.

    ``benchmarks`` are components; ``num_samples`` rows of each are scored, 0 meaning all. Those whose rows cannot be
    had stand in ``absent``, each with the reason, as do ``passages`` that could not be read. The numbers of passages
    are ``text_modeling``, and those of held-out text ``held_out`` within it. ``sample`` is given a record for each row
    (`record_of`), and ``finished`` the results of each part before the next one begins.
    """
    told = None if progress is None else partial(progress, "dataset_loss")
    results: dict[str, Any] = {} if held_out is None else dict(measure_held_out(subject, held_out, told))
    scores: dict[str, dict[str, Any]] = {}
    absent: dict[str, str] = {"text_modeling": str(passages)} if isinstance(passages, WorkError) else {}
    text = evaluate_passages(subject, passages, progress) if isinstance(passages, Passages) else {}
    own = results.pop("text_modeling", {})
    if text or own:
        results["text_modeling"] = text | ({"held_out": own} if own else {})
    if finished is not None and results:
        finished(dict(results))
    seconds = 0.0
    for benchmark in benchmarks:
        try:
            items = read_items(benchmark, num_samples)
        except WorkError as error:
            absent[benchmark.selector] = reason_of(benchmark.selector, error)
            continue
        start = time.perf_counter()
        scores[benchmark.selector] = evaluate_benchmark(subject, benchmark, items, sample, progress)
        seconds += time.perf_counter() - start
        if finished is not None:
            finished({"benchmarks": {benchmark.selector: scores[benchmark.selector]}})
    if scores:
        rows = sum(each["num_samples"] for each in scores.values())
        results |= {"benchmarks": scores, "rows_per_second": round(rows / max(seconds, 1e-9), 2)}
    return results | ({"absent": absent} if absent else {})


def read_items(benchmark: Any, num_samples: int) -> list[Any]:
    """Read the rows of a benchmark that every model is asked.

    Raises `WorkError` of one line where there are none to be had, where one of them cannot be asked, and where a
    plugin's benchmark fails in whatever way.
    """
    named = f"benchmark `{benchmark.selector}`"
    try:
        items: list[Any] = list(benchmark.items(num_samples, SAMPLE_SEED))
    except StlmError:
        raise
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise WorkError(f"{named}: {_owner(benchmark)} failed to give its rows: {text}") from error
    if not items:
        raise WorkError(f"{named}: it has no rows")
    for number, item in enumerate(items):
        fault = fault_of(item)
        if fault is not None:
            raise WorkError(f"{named}: row {getattr(item, 'row', number)} cannot be asked: {fault}")
    return items


def reason_of(benchmark: str, error: StlmError) -> str:
    """Say why the rows of a benchmark are not there, without its name; of a hub that is away, what is true of all."""
    return error.why if isinstance(error, UnreachableError) else str(error).removeprefix(f"benchmark `{benchmark}`: ")


def _owner(benchmark: Any) -> str:
    """Name the package that a benchmark is from."""
    identity = identity_of(type(benchmark))
    return "it" if identity is None else str(installed().find(identity.kind, benchmark.selector).plugin)


def evaluate_benchmark(
    subject: Subject,
    benchmark: Any,
    items: Sequence[Any],
    sample: Sample | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score one benchmark on its rows."""
    name, count = benchmark.selector, len(items)
    told = _shares(progress, name, count)
    scores, answers = score_items(subject, items, by_group=getattr(benchmark, "by_group", False), told=told)
    if sample is not None:
        for item, answer in zip(items, answers, strict=True):
            sample(record_of(name, item, answer))
    return scores


def evaluate_passages(subject: Subject, passages: Passages, progress: Progress | None = None) -> dict[str, Any]:
    """Measure how well passages are modelled."""
    return measure_passages(subject, passages, _shares(progress, "text_modeling", len(passages.texts)))


def _shares(progress: Progress | None, name: str, count: int) -> Callable[[float], None] | None:
    """Tell of a part, of whose work a share is done, how many of ``count`` that are."""
    return None if progress is None else partial(_tell_share, progress, name, count)


def _tell_share(progress: Progress, name: str, count: int, share: float) -> None:
    progress(name, int(share * count), count)
