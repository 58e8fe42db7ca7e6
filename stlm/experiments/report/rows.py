"""The rows of benchmarks that a model got most wrong."""

import heapq
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from stlm.experiments.report.sensible import number

PER_BENCHMARK = 5
"""Rows that are shown of a benchmark."""


@attrs.frozen
class Choice:
    """One answer: its text, with the context where each choice has its own, and its log-likelihood in nats.

    Behind a letter stands the text that it is for, where that is known. ``cut`` says of its own context what it says of
    that of a `Row`.
    """

    text: str
    cut: bool
    log_likelihood: float
    right: bool
    taken: bool


@attrs.frozen
class Row:
    """One question that was answered wrong. ``margin`` is by how many nats the choice taken leads the right one.

    Of a context that is ``cut`` the file has the end alone, which the choices go on from.
    """

    index: str
    context: str
    cut: bool
    choices: tuple[Choice, ...]
    margin: float


@attrs.frozen
class Worst:
    """Of a benchmark the wrong rows with the largest margins, these first, of how many wrong, in how many rows."""

    benchmark: str
    rows: tuple[Row, ...]
    num_wrong: int
    num_rows: int


def worst_rows(records: Iterable[Any], most: int = PER_BENCHMARK) -> tuple[tuple[Worst, ...], int]:
    """Keep the ``most`` worst rows of each benchmark, by their names; and count the records that are no rows."""
    kept: dict[str, list[tuple[float, int, Any]]] = {}
    counts: dict[str, list[int]] = {}
    damaged = 0
    for place, record in enumerate(records):
        margin = _margin(record)
        if margin is None:
            damaged += 1
            continue
        name = str(record.get("benchmark"))
        heap, count = kept.setdefault(name, []), counts.setdefault(name, [0, 0])
        count[1] += 1
        if _taken(record) == record["gold"]:
            continue
        count[0] += 1
        heapq.heappush(heap, (margin, -place, record))
        if len(heap) > most:
            heapq.heappop(heap)
    rows = {name: [_row(record, margin) for margin, _, record in sorted(kept[name], reverse=True)] for name in kept}
    return tuple(Worst(name, tuple(rows[name]), *counts[name]) for name in sorted(rows)), damaged


def _margin(record: Any) -> float | None:
    """Return how far the best wrong choice leads; None of what is no row."""
    if not isinstance(record, dict):
        return None
    scores, gold = record.get("log_likelihoods"), record.get("gold")
    if not isinstance(scores, list) or len(scores) < 2 or type(gold) is not int or not 0 <= gold < len(scores):
        return None
    if any(number(score) is None for score in scores):
        return None
    return float(max(score for choice, score in enumerate(scores) if choice != gold) - scores[gold])


def _taken(record: dict[str, Any]) -> int:
    """Return the choice of the highest log-likelihood, the first of equals, as `acc` takes it."""
    scores: list[float] = record["log_likelihoods"]
    return scores.index(max(scores))


def _row(record: dict[str, Any], margin: float) -> Row:
    scores, gold = record["log_likelihoods"], record["gold"]
    context, cut = record.get("context", ""), record.get("context_cut")
    taken = _taken(record)
    choices = tuple(
        Choice(text, _item(cut, place) is True, score, place == gold, place == taken)
        for place, (text, score) in enumerate(zip(_texts(record), scores, strict=True))
    )
    shared = "" if isinstance(context, list) else str(context)
    return Row(str(record.get("row", "")), shared, cut is True, choices, margin)


def _texts(record: dict[str, Any]) -> Iterator[str]:
    """Yield what each choice says, behind its own context where each has one, before the text of its letter."""
    choices, context, written = record.get("choices"), record.get("context"), record.get("choices_text")
    for place in range(len(record["log_likelihoods"])):
        own = _item(context, place)
        said = _item(choices, place)
        text = f"choice {place + 1}" if said is None else str(said)
        if (meant := _item(written, place)) is not None:
            text = f"{text}: {meant}"
        yield text if own is None else f"{own} ▸ {text}"


def _item(values: Any, place: int) -> Any:
    return values[place] if isinstance(values, list) and place < len(values) else None
