"""All evaluations of a model, as one dictionary: the one that ``stlm eval --json`` prints."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from stlm.evaluation.held_out import HeldOut, measure_held_out
from stlm.evaluation.multiple_choice import record_of, score_items
from stlm.evaluation.passage_modeling import measure_passages
from stlm.evaluation.passages import Passages
from stlm.evaluation.subject import Subject
from stlm.spec.errors import WorkError

Sample = Callable[[dict[str, Any]], None]
Progress = Callable[[str, int, int], None]
"""Told of a part how much of it is done, of how much."""

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
) -> dict[str, Any]:
    """Run every evaluation that there is something for; a part that did not run is not in the result.

    ``benchmarks`` are components; ``num_samples`` rows of each are scored, 0 meaning all. Those whose rows cannot be
    had stand in ``absent``, each with the reason, as do ``passages`` that could not be read. The numbers of passages
    are ``text_modeling``, and those of held-out text ``held_out`` within it. ``sample`` is given a record for each row
    (`record_of`).
    """
    told = None if progress is None else partial(progress, "dataset_loss")
    results: dict[str, Any] = {} if held_out is None else dict(measure_held_out(subject, held_out, told))
    scores: dict[str, dict[str, Any]] = {}
    absent: dict[str, str] = {"text_modeling": str(passages)} if isinstance(passages, WorkError) else {}
    text = evaluate_passages(subject, passages, progress) if isinstance(passages, Passages) else {}
    own = results.pop("text_modeling", {})
    if text or own:
        results["text_modeling"] = text | ({"held_out": own} if own else {})
    seconds = 0.0
    for benchmark in benchmarks:
        try:
            items = read_items(benchmark, num_samples)
        except WorkError as error:
            absent[benchmark.selector] = str(error)
            continue
        start = time.perf_counter()
        scores[benchmark.selector] = evaluate_benchmark(subject, benchmark, items, sample, progress)
        seconds += time.perf_counter() - start
    if scores:
        rows = sum(each["num_samples"] for each in scores.values())
        results |= {"benchmarks": scores, "rows_per_second": round(rows / max(seconds, 1e-9), 2)}
    return results | ({"absent": absent} if absent else {})


def read_items(benchmark: Any, num_samples: int) -> list[Any]:
    """Read the rows of a benchmark that every model is asked; raises `WorkError` where there are none to be had."""
    items: list[Any] = benchmark.items(num_samples, SAMPLE_SEED)
    if not items:
        raise WorkError(f"benchmark `{benchmark.selector}` has no rows")
    return items


def evaluate_benchmark(
    subject: Subject,
    benchmark: Any,
    items: Sequence[Any],
    sample: Sample | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score one benchmark on its rows."""
    name, count = benchmark.selector, len(items)
    told = None if progress is None else lambda share: progress(name, int(share * count), count)
    scores, answers = score_items(subject, items, by_group=getattr(benchmark, "by_group", False), told=told)
    for item, answer in zip(items, answers, strict=True) if sample is not None else ():
        sample(record_of(name, item, answer))
    return scores


def evaluate_passages(subject: Subject, passages: Passages, progress: Progress | None = None) -> dict[str, Any]:
    """Measure how well passages are modelled."""
    count = len(passages.texts)
    told = None if progress is None else lambda share: progress("text_modeling", int(share * count), count)
    return measure_passages(subject, passages, told)
