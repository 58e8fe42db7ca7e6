"""The scores of benchmarks over the course of a run, whatever evaluations have of them."""

from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from stlm.components.benchmark.measures import ACC, FURTHER, INTERVAL, MEASURES, Measure
from stlm.experiments.report.sensible import number


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
        return None if self.stderr is None else INTERVAL * self.stderr

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

    ``measured`` has what is known by the names of `MEASURES`, `ACC` always. ``by_group`` has shares of each group, by
    the same names.
    """

    step: int
    measured: dict[str, Measured]
    num_samples: int | None
    by_group: dict[str, dict[str, float]]
    remarks: tuple[str, ...] = ()

    @property
    def acc(self) -> Measured:
        """The score that each benchmark has."""
        return self.measured[ACC.name]

    @property
    def further(self) -> list[tuple[Measure, Measured]]:
        """The known ones of `FURTHER`."""
        return [(measure, self.measured[measure.name]) for measure in FURTHER if measure.name in self.measured]

    @property
    def measures_of_groups(self) -> list[Measure]:
        """Those that are known of any group."""
        known = {name for shares in self.by_group.values() for name in shares}
        return [measure for measure in MEASURES if measure.name in known and measure.label]


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
    if not isinstance(told, dict):
        return None
    measured = {measure.name: _measured(told, measure) for measure in MEASURES}
    known = {name: one for name, one in measured.items() if one is not None}
    if ACC.name not in known:
        return None
    samples = number(told.get("num_samples"))
    return Score(step, known, None if samples is None else int(samples), _by_group(told), tuple(_remarks(told)))


def _measured(told: dict[str, Any], measure: Measure) -> Measured | None:
    """Take a score, and what is said of it."""
    share, at_chance = number(told.get(measure.name)), told.get(measure.at_chance)
    if share is None:
        return None
    known = at_chance if isinstance(at_chance, bool) else None
    return Measured(share, number(told.get(measure.stderr)), number(told.get("chance")), known)


def _remarks(told: dict[str, Any]) -> Iterator[str]:
    """Say what the number alone does not: how it was measured, where that is another way, and what was cut."""
    if isinstance(told.get("method"), str):
        yield f"by {told['method'].replace('_', ' ')}"
    if cut := number(told.get("truncated")):
        yield f"{cut:,} contexts cut on the left"


def _by_group(told: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Take the scores of each group that has some; a number alone is its `ACC`."""
    groups = told.get("by_group")
    found: dict[str, dict[str, float]] = {}
    for group, of in groups.items() if isinstance(groups, dict) else ():
        own = of if isinstance(of, dict) else {ACC.name: of}
        shares = {measure.name: number(own.get(measure.name)) for measure in MEASURES}
        if known := {name: share for name, share in shares.items() if share is not None}:
            found[str(group)] = known
    return found


def _why(told: Any) -> str:
    said = [text for text in told.values() if isinstance(text, str)] if isinstance(told, dict) else [told]
    return "; ".join(text for text in said if isinstance(text, str)) or "not scored"
