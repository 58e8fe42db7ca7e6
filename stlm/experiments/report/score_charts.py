"""The charts of scores: of each benchmark against chance, and of text."""

from collections.abc import Iterator, Sequence
from typing import Any

from stlm.experiments.report.charts import SERIES, Chart, Plotter
from stlm.experiments.report.quantities import rounded
from stlm.experiments.report.scores import Measured, Score

_COLORS = {"acc": "$train", "acc_norm": "$held-out", "acc_text": "$series-3", "acc_centered": "$series-2"}


def benchmark_chart(number: int, name: str, scores: Sequence[Score], plotter: Plotter) -> Chart:
    """Draw the scores on a benchmark at each evaluation, with 95 % intervals, against chance.

    Evaluations of other numbers of rows than the latest have hollow points, and no line joins the two.
    """
    last = scores[-1]
    sets = list(dict.fromkeys(score.num_samples for score in reversed(scores)))
    drawn = [
        _line(measure, [score for score in scores if score.num_samples == rows], plotter, hollow=rows != sets[0])
        for rows in sets
        for measure in _COLORS
        if any(score.num_samples == rows and getattr(score, measure) is not None for score in scores)
    ]
    chance = last.acc.chance
    if chance is not None:
        drawn.append(plotter.level("chance", chance, [score.step for score in scores], "$baseline"))
    about = " ".join(_about(last, sets[1:]))
    return plotter.chart(f"benchmark-{number}", name, about, drawn, tickformat=".0%", hoverformat=".1%")


def _about(last: Score, other_sets: Sequence[int | None]) -> Iterator[str]:
    """Say what the latest evaluation found, and what hollow points are."""
    rows = "" if last.num_samples is None else f", {last.num_samples:,} rows"
    chance = "" if last.acc.chance is None else f", chance {100 * last.acc.chance:.1f} %"
    yield _told(f"{last.acc.percent} at step {last.step:,}{rows}{chance}", last.acc)
    for name, measured in last.further.items():
        yield _told(f"{name.capitalize()}: {measured.percent}", measured)
    if other_sets:
        known = " or ".join(f"{rows:,}" for rows in sorted(rows for rows in other_sets if rows is not None))
        yield f"Hollow points are of {known or 'an unknown number of'} rows: not to be compared with the others."


def _told(said: str, measured: Measured) -> str:
    return f"{said}: {measured.verdict}." if measured.verdict else f"{said}."


def _line(measure: str, scores: Sequence[Score], plotter: Plotter, *, hollow: bool) -> Any:
    """Draw one score over evaluations of equally many rows."""
    found = [getattr(score, measure) for score in scores]
    values = [each.share if isinstance(each, Measured) else each for each in found]
    color, rows = _COLORS[measure], scores[0].num_samples
    style: dict[str, Any] = {"mode": "lines+markers", "legendgroup": measure, "width": 2 if measure == "acc" else 1.5}
    if any(isinstance(each, Measured) and each.half_width for each in found):
        widths = [rounded(each.half_width or 0.0) if isinstance(each, Measured) else 0.0 for each in found]
        style["error_y"] = {"type": "data", "array": widths, "thickness": 1, "width": 3, "color": color}
    style["marker"] = {"symbol": "circle-open" if hollow else "circle"}
    name = measure if rows is None or measure != "acc" else f"acc, {rows:,} rows"
    return plotter.line(name, [{"step": score.step} for score in scores], values, color, **style)


def text_chart(series: dict[str, list[tuple[int, float]]], plotter: Plotter) -> Chart:
    """Draw the bits per byte of text over the run; ``series`` has the steps and values of each kind of text."""
    drawn = [
        plotter.line(
            name,
            [{"step": step} for step, _ in points],
            [value for _, value in points],
            f"$series-{place % SERIES}",
            mode="lines+markers",
            dash="solid" if place < SERIES else "dot",
        )
        for place, (name, points) in enumerate(series.items())
    ]
    about = "Bits that the model needs for a byte of text: lower is better, and tokenizers can be compared."
    return plotter.chart("text-modeling", "Bits per byte", about, drawn, hoverformat=".4f")
