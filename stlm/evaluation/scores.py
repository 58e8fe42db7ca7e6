"""From the log-likelihoods of choices to a benchmark's scores, and how far these can be trusted."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from stlm.components.benchmark.measures import INTERVAL
from stlm.evaluation.chance import is_at_chance
from stlm.evaluation.items import Item


@attrs.frozen
class Answer:
    """The log-likelihoods of an item's choices in nats, and those of the text that the choices stand for, if any.

    ``cut`` says whether a context lost its beginning to the window.
    """

    log_likelihoods: list[float]
    of_text: list[float] | None = None
    cut: bool = False


def scores_of(items: Sequence[Item], answers: Sequence[Answer], *, by_group: bool = False) -> dict[str, Any]:
    """Return the scores of a benchmark.

    - ``acc`` takes the choice of the highest log-likelihood, ``acc_norm`` of the highest a character of the choice,
      ``acc_bytes`` a byte of it in UTF-8; the first of equals. ``acc_text`` is `acc` of the choices' text, where the
      plain form asks for letters.
    - ``stderr`` is that of ``acc``: the sample's standard deviation over the root of ``num_samples``, and
      ``acc_text_stderr`` that of ``acc_text``.
    - ``acc_centered`` takes off each log-likelihood its mean over all rows that have the same choices, so that a choice
      that sounds likely anywhere gains nothing. Choices are the same in another order too; those that differ in their
      contexts alone are told apart by these. It is there where every row shares its choices with another, as in stlm's
      own sets, and is what tells the smallest models apart. ``acc_centered_stderr`` is over sets of such rows, as rows
      that share the means that are taken off depend on each other.
    - ``chance`` is what guessing gives on average; ``at_chance`` says that the number of right answers is one that
      guessing gives too (`is_at_chance`, at 95 %), ``acc_text_at_chance`` and ``acc_centered_at_chance`` the same of
      those scores. The last is also true within 1.96 standard errors of chance: rows that share the means that are
      taken off depend on each other, which the number of right answers does not show.
    - ``by_group`` has ``acc``, ``num_samples`` and, where it is there, ``acc_centered`` of each group, where there are
      some. With the argument of that name,
      scores are means of the groups', each counting the same, and standard errors those of such means.
    - ``truncated`` counts the rows of which a context was cut; it is not there where none was.
    """
    groups: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault(item.group, []).append(index)
    parts = list(groups.values()) if by_group else [list(range(len(items)))]
    right = right_by_score(items, answers)
    plain = right["acc"]
    chances = [1 / len(item.choices) for item in items]
    scores: dict[str, Any] = {
        "acc": _mean(plain, parts),
        "acc_norm": _mean(right["acc_norm"], parts),
        "acc_bytes": _mean(right["acc_bytes"], parts),
        "stderr": _stderr(plain, parts),
        "num_samples": len(items),
        "chance": _mean(chances, parts),
        "at_chance": is_at_chance(sum(plain), chances),
    }
    if all(item.text is not None and answer.of_text is not None for item, answer in zip(items, answers, strict=True)):
        by_text = [
            _best(answer.of_text or ()) == item.text.gold  # type: ignore[union-attr]
            for item, answer in zip(items, answers, strict=True)
        ]
        scores |= {"acc_text": _mean(by_text, parts), "acc_text_stderr": _stderr(by_text, parts)}
        scores["acc_text_at_chance"] = is_at_chance(sum(by_text), chances)
    if "acc_centered" in right:
        scores |= _of_centered(right["acc_centered"], sets_of(items) or [], parts, chances, scores["chance"])
    if any(groups):
        shown = [name for name in ("acc", "acc_centered") if name in right]
        scores["by_group"] = {
            group: {name: _mean(right[name], [own]) for name in shown} | {"num_samples": len(own)}
            for group, own in groups.items()
        }
    cut = sum(answer.cut for answer in answers)
    return scores | ({"truncated": cut} if cut else {})


def right_by_score(items: Sequence[Item], answers: Sequence[Answer]) -> dict[str, list[bool]]:
    """Say of each item whether it is answered right, by each way of choosing that `scores_of` tells of.

    ``acc_centered`` is there where every row shares its choices with another.
    """
    plain = [_best(answer.log_likelihoods) == item.gold for item, answer in zip(items, answers, strict=True)]
    right = {"acc": plain, "acc_norm": _right_a(len, items, answers), "acc_bytes": _right_a(_bytes, items, answers)}
    sets = sets_of(items)
    if sets is not None:
        centered = _centered(items, answers, sets)
        right["acc_centered"] = [_best(values) == item.gold for item, values in zip(items, centered, strict=True)]
    return right


def _of_centered(
    right: Sequence[bool],
    sets: Sequence[Sequence[int]],
    parts: Sequence[Sequence[int]],
    chances: Sequence[float],
    chance: float,
) -> dict[str, Any]:
    share, stderr = _mean(right, parts), _stderr_of_sets(right, sets, parts)
    near = abs(share - chance) <= INTERVAL * stderr
    return {
        "acc_centered": share,
        "acc_centered_stderr": stderr,
        "acc_centered_at_chance": near or is_at_chance(sum(right), chances),
    }


def _right_a(length: Callable[[str], int], items: Sequence[Item], answers: Sequence[Answer]) -> list[bool]:
    """Say which items are answered right by the log-likelihood a unit of the choice's length."""
    return [
        _best([value / max(length(choice), 1) for value, choice in zip(a.log_likelihoods, item.choices, strict=True)])
        == item.gold
        for item, a in zip(items, answers, strict=True)
    ]


def sets_of(items: Sequence[Item]) -> list[list[int]] | None:
    """List the sets of rows that have the same choices, in any order, as their indices.

    None where a row shares its choices with no other, or has one of them twice.
    """
    sets: dict[frozenset[str], list[int]] = {}
    for index, item in enumerate(items):
        told_apart = _names(item)
        if len(set(told_apart)) < len(told_apart):
            return None
        sets.setdefault(frozenset(told_apart), []).append(index)
    return None if any(len(rows) < 2 for rows in sets.values()) else list(sets.values())


def _names(item: Item) -> tuple[str, ...]:
    """Give what tells an item's choices apart: their texts, or their contexts where the texts are the same."""
    by_context = not isinstance(item.context, str) and len(set(item.choices)) == 1
    return tuple(item.context) if by_context else item.choices


def _centered(items: Sequence[Item], answers: Sequence[Answer], sets: Sequence[Sequence[int]]) -> list[list[float]]:
    """Return log-likelihoods less the mean that each choice has over its set."""
    told = [dict(zip(_names(item), a.log_likelihoods, strict=True)) for item, a in zip(items, answers, strict=True)]
    means: dict[int, dict[str, float]] = {}
    for rows in sets:
        mean = {name: sum(told[row][name] for row in rows) / len(rows) for name in told[rows[0]]}
        means |= dict.fromkeys(rows, mean)
    return [[value - means[row][name] for name, value in own.items()] for row, own in enumerate(told)]


def _bytes(choice: str) -> int:
    return len(choice.encode("utf-8", "surrogatepass"))


def _best(values: Sequence[float]) -> int:
    return values.index(max(values))


def _mean(values: Sequence[float], parts: Sequence[Sequence[int]]) -> float:
    """Return the mean over the parts of their means."""
    return sum(sum(values[index] for index in part) / len(part) for part in parts) / len(parts)


def _stderr(right: Sequence[bool], parts: Sequence[Sequence[int]]) -> float:
    """Return the standard error of `_mean`.

    That of several parts' mean is the root of the sum of their squared errors, over the number of parts, as
    lm-evaluation-harness has it (`unweighted_mean_stderr`). A part of one row has no variance of its own: where there
    is one, all rows are taken for one sample.
    """
    if min(map(len, parts)) < 2:
        parts = [[index for part in parts for index in part]]
    shares = [(len(part), _mean(right, [part])) for part in parts]
    squares = sum(share * (1 - share) / (n - 1) for n, share in shares if n > 1)
    return math.sqrt(squares) / len(parts)


def _stderr_of_sets(right: Sequence[bool], sets: Sequence[Sequence[int]], parts: Sequence[Sequence[int]]) -> float:
    """Return the standard error of `_mean` where the rows of a set depend on each other, but sets do not.

    Of S sets, the root of ``S / (S - 1) * sum over sets of (sum over the set's rows of (right - mean) / rows) ** 2``:
    the error clustered by sets (Miller, 2024; arXiv:2411.00640), corrected for their number as `_stderr` is for that of
    rows, which it gives for sets of one row. With several parts, a row's share is that of its part.
    Where a set has more than a tenth of the rows, there are too few sets to tell, or one set of so many rows that they
    hardly depend on each other (a benchmark that asks for letters): rows are then taken for independent.
    """
    if max(map(len, sets)) > len(right) / 10:
        return _stderr(right, parts)
    pulls = [0.0] * len(right)
    for part in parts:
        mean = _mean(right, [part])
        for index in part:
            pulls[index] = (right[index] - mean) / len(part) / len(parts)
    squares = sum(sum(pulls[index] for index in rows) ** 2 for rows in sets)
    return math.sqrt(len(sets) / (len(sets) - 1) * squares)
