"""All evaluations of a model, as one dictionary: the one that ``stlm eval --json`` prints."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from stlm.evaluation.held_out import HeldOut, measure_held_out
from stlm.evaluation.multiple_choice import score_items
from stlm.evaluation.subject import Subject
from stlm.spec.errors import WorkError

Sample = Callable[[dict[str, Any]], None]


def evaluate_subject(
    subject: Subject,
    held_out: HeldOut | None,
    benchmarks: Sequence[Any],
    num_samples: int,
    sample: Sample | None = None,
) -> dict[str, Any]:
    """Run every evaluation that there is something for; a part that cannot run is absent.

    ``benchmarks`` are components; ``num_samples`` rows of each are scored, 0 meaning all. ``sample`` is given a record
    for each row.
    """
    results: dict[str, Any] = {} if held_out is None else dict(measure_held_out(subject, held_out))
    if benchmarks:
        start, rows, scores = time.perf_counter(), 0, {}
        for benchmark in benchmarks:
            scores[benchmark.selector] = evaluate_benchmark(subject, benchmark, num_samples, sample)
            rows += scores[benchmark.selector]["num_samples"]
        results["benchmarks"] = scores
        results["rows_per_second"] = round(rows / (time.perf_counter() - start), 2)
    return results


def evaluate_benchmark(subject: Subject, benchmark: Any, num_samples: int, sample: Sample | None) -> dict[str, Any]:
    """Score one benchmark, on rows that depend on the seed alone."""
    items = benchmark.items(num_samples, subject.seed)
    if not items:
        raise WorkError(f"benchmark `{benchmark.selector}` has no rows")
    scores, log_likelihoods = score_items(subject, items)
    for item, values in zip(items, log_likelihoods, strict=True) if sample is not None else ():
        sample({"benchmark": benchmark.selector, "row": item.row, "gold": item.gold, "log_likelihoods": values})
    return scores
