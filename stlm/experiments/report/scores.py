"""The scores of benchmarks and of text over the course of a run, whatever evaluations have of them."""

from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from stlm.experiments.report.record import number

_Z = 1.96
"""Standard errors to each side that hold 95 % of a normal distribution."""

_OWN = "held-out text"


@attrs.frozen
class Score:
    """What one evaluation says of a benchmark: shares from 0 to 1, None where it does not say."""

    step: int
    acc: float
    acc_norm: float | None
    acc_text: float | None
    stderr: float | None
    chance: float | None
    num_samples: int | None
    at_chance: bool | None
    by_group: dict[str, float]
    remarks: tuple[str, ...] = ()

    @property
    def half_width(self) -> float | None:
        """How far the 95 % interval reaches to each side."""
        return None if self.stderr is None else _Z * self.stderr

    @property
    def percent(self) -> str:
        """The accuracy with its interval: ``31.2 ± 2.9 %``."""
        wide = "" if self.half_width is None else f" ± {100 * self.half_width:.1f}"
        return f"{100 * self.acc:.1f}{wide} %"

    @property
    def verdict(self) -> str:
        """Whether the score can be told from chance."""
        if self.at_chance is None and (self.half_width is None or self.chance is None):
            return ""
        at_chance = self.at_chance
        if at_chance is None:
            at_chance = abs(self.acc - self.chance) <= self.half_width  # type: ignore[operator]
        if at_chance:
            return "not told from chance"
        return "below chance" if self.chance is not None and self.acc < self.chance else "above chance"


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
    if not isinstance(told, dict) or (acc := number(told.get("acc"))) is None:
        return None
    samples, at_chance = number(told.get("num_samples")), told.get("at_chance")
    by_group = told.get("by_group")
    groups = by_group if isinstance(by_group, dict) else {}
    return Score(
        step,
        acc,
        number(told.get("acc_norm")),
        number(told.get("acc_text")),
        number(told.get("stderr")),
        number(told.get("chance")),
        None if samples is None else int(samples),
        at_chance if isinstance(at_chance, bool) else None,
        {str(name): value for name, of in groups.items() if (value := _accuracy(of)) is not None},
        tuple(_remarks(told)),
    )


def _remarks(told: dict[str, Any]) -> Iterator[str]:
    """Say what the number alone does not: how it was measured, where that is another way, and what was cut."""
    if isinstance(told.get("method"), str):
        yield f"by {told['method'].replace('_', ' ')}"
    if cut := number(told.get("truncated")):
        yield f"{cut:,} contexts cut on the left"


def _accuracy(told: Any) -> float | None:
    return number(told.get("acc") if isinstance(told, dict) else told)


def _why(told: Any) -> str:
    said = [text for text in told.values() if isinstance(text, str)] if isinstance(told, dict) else [told]
    return "; ".join(text for text in said if isinstance(text, str)) or "not scored"


@attrs.frozen
class Text:
    """How well one kind of text is modeled, at the latest evaluation."""

    kind: str
    name: str
    bits_per_byte: float | None
    byte_accuracy: float | None


def texts(modeling: Any) -> list[Text]:
    """Lay out what an evaluation says of text: passages, the run's own, then by topic and by difficulty.

    Where there are no passages, as in older runs, the whole is the run's own text.
    """
    if not isinstance(modeling, dict):
        return []
    own, whole = modeling.get("held_out"), "all passages" if "passages" in modeling else _OWN
    parts: list[tuple[str, str, Any]] = [("", whole, modeling), ("", _OWN, own)]
    for key, kind in (("by_topic", "topic"), ("by_difficulty", "difficulty")):
        groups = modeling.get(key)
        parts += [(kind, str(name), of) for name, of in groups.items()] if isinstance(groups, dict) else []
    found = [Text(kind, name.replace("_", " "), *_of_text(told)) for kind, name, told in parts]
    return [text for text in found if text.bits_per_byte is not None]


def _of_text(told: Any) -> tuple[float | None, float | None]:
    if isinstance(told, dict):
        return number(told.get("bits_per_byte")), number(told.get("byte_accuracy"))
    return number(told), None


def bits_over_steps(evaluations: Iterable[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Return the bits per byte of all passages, of the run's own text, and of each topic, over the steps."""
    series: dict[str, list[tuple[int, float]]] = {}
    for evaluation in evaluations:
        for text in texts(evaluation.get("text_modeling")):
            if text.kind != "difficulty" and text.bits_per_byte is not None:
                series.setdefault(text.name, []).append((evaluation["step"], text.bits_per_byte))
    return series
