"""The scores of benchmarks over the course of a run, whatever evaluations have of them."""

from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from stlm.experiments.report.sensible import number

_Z = 1.96
"""Standard errors to each side that hold 95 % of a normal distribution."""


@attrs.frozen
class Measured:
    """A share from 0 to 1 of rows that were answered right, and what is known of how far it can be trusted."""

    share: float
    stderr: float | None
    chance: float | None
    at_chance: bool | None

    @property
    def half_width(self) -> float | None:
        """How far the 95 % interval reaches to each side."""
        return None if self.stderr is None else _Z * self.stderr

    @property
    def percent(self) -> str:
        """The share with its interval: ``31.2 ± 2.9 %``."""
        wide = "" if self.half_width is None else f" ± {100 * self.half_width:.1f}"
        return f"{100 * self.share:.1f}{wide} %"

    @property
    def verdict(self) -> str:
        """Whether the share can be told from chance."""
        at_chance = self.at_chance
        if at_chance is None:
            if not self.half_width or self.chance is None:  # of few rows, all of them alike, the error is none at all
                return ""
            at_chance = abs(self.share - self.chance) <= self.half_width
        if at_chance:
            return "not told from chance"
        return "below chance" if self.chance is not None and self.share < self.chance else "above chance"


@attrs.frozen
class Score:
    """What one evaluation says of a benchmark, None where it does not say.

    ``acc_text`` is by the text of choices that are asked for by their letters, ``acc_centered`` by log-likelihoods less
    the mean of each choice. ``by_group`` has `acc` of each group, ``centered_by_group`` the latter where it is known.
    """

    step: int
    acc: Measured
    acc_norm: float | None
    acc_text: Measured | None
    acc_centered: Measured | None
    num_samples: int | None
    by_group: dict[str, float]
    centered_by_group: dict[str, float]
    remarks: tuple[str, ...] = ()

    @property
    def further(self) -> dict[str, Measured]:
        """The scores beside `acc` that are known, by what they are called on the page."""
        each = {"by text": self.acc_text, "centered": self.acc_centered}
        return {name: measured for name, measured in each.items() if measured is not None}


def scores_by_benchmark(evaluations: Iterable[dict[str, Any]]) -> tuple[dict[str, list[Score]], dict[str, str]]:
    """Return the scores of each benchmark, by step; and why the latest evaluation lacks a benchmark, where it does."""
    scores: dict[str, list[Score]] = {}
    absent: dict[str, str] = {}
    for evaluation in evaluations:
        absent = {}
        benchmarks = evaluation.get("benchmarks")
        for name, told in benchmarks.items() if isinstance(benchmarks, dict) else ():
            score = _score(evaluation["step"], told)
            if score is not None:
                scores.setdefault(name, []).append(score)
            else:
                absent[name] = _why(told)
        lacking = evaluation.get("absent")
        absent |= {name: _why(told) for name, told in lacking.items()} if isinstance(lacking, dict) else {}
    return scores, absent


def _score(step: int, told: Any) -> Score | None:
    if not isinstance(told, dict) or (acc := _measured(told, "acc", "")) is None:
        return None
    samples = number(told.get("num_samples"))
    return Score(
        step,
        acc,
        number(told.get("acc_norm")),
        _measured(told, "acc_text", "acc_text_"),
        _measured(told, "acc_centered", "acc_centered_"),
        None if samples is None else int(samples),
        _by_group(told, "acc"),
        _by_group(told, "acc_centered"),
        tuple(_remarks(told)),
    )


def _measured(told: dict[str, Any], key: str, own: str) -> Measured | None:
    """Take a score, and what is said of it under keys that begin with ``own``."""
    share, at_chance = number(told.get(key)), told.get(f"{own}at_chance")
    if share is None:
        return None
    known = at_chance if isinstance(at_chance, bool) else None
    return Measured(share, number(told.get(f"{own}stderr")), number(told.get("chance")), known)


def _remarks(told: dict[str, Any]) -> Iterator[str]:
    """Say what the number alone does not: how it was measured, where that is another way, and what was cut."""
    if isinstance(told.get("method"), str):
        yield f"by {told['method'].replace('_', ' ')}"
    if cut := number(told.get("truncated")):
        yield f"{cut:,} contexts cut on the left"


def _by_group(told: dict[str, Any], key: str) -> dict[str, float]:
    """Take a score of each group; a number alone is its `acc`."""
    groups = told.get("by_group")
    found = {
        str(name): number(of.get(key) if isinstance(of, dict) else of if key == "acc" else None)
        for name, of in (groups.items() if isinstance(groups, dict) else ())
    }
    return {name: share for name, share in found.items() if share is not None}


def _why(told: Any) -> str:
    said = [text for text in told.values() if isinstance(text, str)] if isinstance(told, dict) else [told]
    return "; ".join(text for text in said if isinstance(text, str)) or "not scored"
