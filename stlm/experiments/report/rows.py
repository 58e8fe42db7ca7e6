"""The rows of benchmarks that a model got most wrong."""

import heapq
import math
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

PER_BENCHMARK = 5
"""Rows that are shown of a benchmark."""
MOST_CHARACTERS = 1500
"""Of a longer context the end is shown, which the choices go on from."""


@attrs.frozen
class Choice:
    """One answer: its text, with the context where each choice has its own, and its log-likelihood in nats."""

    text: str
    log_likelihood: float
    right: bool
    taken: bool


@attrs.frozen
class Row:
    """One question. ``margin`` is by how many nats the best wrong choice leads the right one; below 0, it was right."""

    benchmark: str
    index: str
    context: str
    cut: bool
    choices: tuple[Choice, ...]
    margin: float


def worst_rows(records: Iterable[Any], most: int = PER_BENCHMARK) -> tuple[tuple[Row, ...], int]:
    """Keep the rows with the largest margins, ``most`` of each benchmark; and count the records that are no rows.

    Benchmarks come in the order of their names, rows by their margin, the largest first.
    """
    kept: dict[str, list[tuple[float, int, Any]]] = {}
    damaged = 0
    for number, record in enumerate(records):
        margin = _margin(record)
        if margin is None:
            damaged += 1
            continue
        heap = kept.setdefault(str(record.get("benchmark")), [])
        heapq.heappush(heap, (margin, -number, record))
        if len(heap) > most:
            heapq.heappop(heap)
    rows = [_row(record, margin) for name in sorted(kept) for margin, _, record in sorted(kept[name], reverse=True)]
    return tuple(rows), damaged


def _margin(record: Any) -> float | None:
    """Return how far the best wrong choice leads; None of what is no row."""
    if not isinstance(record, dict):
        return None
    scores, gold = record.get("log_likelihoods"), record.get("gold")
    if not isinstance(scores, list) or len(scores) < 2 or type(gold) is not int or not 0 <= gold < len(scores):
        return None
    if not all(type(score) in (int, float) and math.isfinite(score) for score in scores):
        return None
    return float(max(score for choice, score in enumerate(scores) if choice != gold) - scores[gold])


def _row(record: dict[str, Any], margin: float) -> Row:
    scores, gold = record["log_likelihoods"], record["gold"]
    context = record.get("context", "")
    taken = scores.index(max(scores))
    choices = tuple(
        Choice(text, score, number == gold, number == taken)
        for number, (text, score) in enumerate(zip(_texts(record), scores, strict=True))
    )
    whole = "" if isinstance(context, list) else str(context)
    cut = len(whole) > MOST_CHARACTERS
    index = str(record.get("row", ""))
    return Row(str(record.get("benchmark")), index, whole[-MOST_CHARACTERS:], cut, choices, margin)


def _texts(record: dict[str, Any]) -> Iterator[str]:
    """Yield what each choice says, behind its own context where each has one."""
    choices, context = record.get("choices"), record.get("context")
    for number in range(len(record["log_likelihoods"])):
        own = _item(context, number)
        said = _item(choices, number)
        text = f"choice {number + 1}" if said is None else str(said)
        yield text if own is None else f"{own} ▸ {text}"


def _item(values: Any, number: int) -> Any:
    return values[number] if isinstance(values, list) and number < len(values) else None
