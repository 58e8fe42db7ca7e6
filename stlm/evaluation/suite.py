"""All evaluations of a model, as one dictionary: the one that ``stlm eval --json`` prints."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from stlm.evaluation.finite import NoNumbersError, require_finite
from stlm.evaluation.held_out import HeldOut, measure_held_out
from stlm.evaluation.multiple_choice import record_of, score_items
from stlm.evaluation.passage_modeling import measure_passages
from stlm.evaluation.passages import Passages
from stlm.evaluation.read_benchmarks import Asked
from stlm.evaluation.subject import Subject
from stlm.spec.errors import WorkError

Sample = Callable[[dict[str, Any]], None]
Progress = Callable[[str, int, int], None]
"""Told of a part how much of it is done, of how much."""
Finished = Callable[[dict[str, Any]], None]
"""Given the results of a part as soon as they are there, in the form that the whole has."""


def evaluate_subject(
    subject: Subject,
    held_out: HeldOut | None,
    benchmarks: Iterable[Asked],
    sample: Sample | None = None,
    *,
    passages: Passages | WorkError | None = None,
    progress: Progress | None = None,
    finished: Finished | None = None,
) -> dict[str, Any]:
    """Run every evaluation that there is something for; a part that did not run is not in the result.

    Benchmarks are taken one by one, when it is their turn. Those whose rows could not be had stand in ``absent``, each
    with the reason, as do ``passages`` that could not be read, and every part of which the model computes what is no
    number. The numbers of passages are ``text_modeling``, and those of held-out text ``held_out`` within it. ``sample``
    is given a record for each row (`record_of`), and ``finished`` the results of each part before the next one begins.
    """
    results, absent = _of_texts(subject, held_out, passages, progress)
    if finished is not None and results:
        finished(dict(results))
    scores: dict[str, dict[str, Any]] = {}
    seconds = 0.0
    for asked in benchmarks:
        if asked.why is not None:
            absent[asked.selector] = asked.why
            continue
        start = time.perf_counter()
        try:
            scores[asked.selector] = evaluate_benchmark(subject, asked, sample, progress)
        except NoNumbersError as error:
            absent[asked.selector] = str(error)
            continue
        seconds += time.perf_counter() - start
        if finished is not None:
            finished({"benchmarks": {asked.selector: scores[asked.selector]}})
    if scores:
        rows = sum(each["num_samples"] for each in scores.values())
        results |= {"benchmarks": scores, "rows_per_second": round(rows / max(seconds, 1e-9), 2)}
    return results | ({"absent": absent} if absent else {})


def _of_texts(
    subject: Subject, held_out: HeldOut | None, passages: Passages | WorkError | None, progress: Progress | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Measure held-out data and passages; return what there is, and what is absent with the reason."""
    told = None if progress is None else partial(progress, "dataset_loss")
    results: dict[str, Any] = {} if held_out is None else dict(measure_held_out(subject, held_out, told))
    absent = {"text_modeling": str(passages)} if isinstance(passages, WorkError) else {}
    text = evaluate_passages(subject, passages, progress) if isinstance(passages, Passages) else {}
    own = results.pop("text_modeling", {})
    if text or own:
        results["text_modeling"] = text | ({"held_out": own} if own else {})
    for name in list(results):
        try:
            require_finite(results[name])
        except NoNumbersError as error:
            absent[name] = str(error)
            del results[name]
    return results, absent


def evaluate_benchmark(
    subject: Subject, asked: Asked, sample: Sample | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Score one benchmark on its rows. Raises `NoNumbersError` (`require_finite`)."""
    told = _shares(progress, asked.selector, len(asked.items))
    scores, answers = score_items(subject, asked.items, by_group=asked.by_group, told=told)
    if sample is not None:
        for item, answer in zip(asked.items, answers, strict=True):
            sample(record_of(asked.selector, item, answer))
    return scores


def evaluate_passages(subject: Subject, passages: Passages, progress: Progress | None = None) -> dict[str, Any]:
    """Measure how well passages are modelled."""
    return measure_passages(subject, passages, _shares(progress, "text_modeling", len(passages.texts)))


def _shares(progress: Progress | None, name: str, count: int) -> Callable[[float], None] | None:
    """Tell of a part, of whose work a share is done, how many of ``count`` that are."""
    return None if progress is None else partial(_tell_share, progress, name, count)


def _tell_share(progress: Progress, name: str, count: int, share: float) -> None:
    progress(name, int(share * count), count)
