"""The charts of scores: of each benchmark against chance, and of text."""

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from stlm.components.benchmark.measures import ACC, MEASURES, Measure
from stlm.experiments.report.charts import SERIES, Chart, Plotter
from stlm.experiments.report.quantities import rounded
from stlm.experiments.report.scores import Measured, Score

_DRAWN = tuple(measure for measure in MEASURES if measure.color)
_BESIDE_EACH_OTHER = {"scattermode": "group", "scattergap": 0.85}
"""So that one interval does not hide another of the same step."""


def benchmark_chart(number: int, name: str, scores: Sequence[Score], plotter: Plotter) -> Chart:
    """Draw the scores on a benchmark at each evaluation, with 95 % intervals, against chance.

    Evaluations of other numbers of rows than the latest have hollow points, and no line joins the two.
    """
    last = scores[-1]
    sets = list(dict.fromkeys(score.num_samples for score in reversed(scores)))
    drawn = [
        _line(measure, [score for score in scores if score.num_samples == rows], plotter, hollow=rows != sets[0])
        for rows in sets
        for measure in _DRAWN
        if any(score.num_samples == rows and measure.name in score.measured for score in scores)
    ]
    chance = last.acc.chance
    if chance is not None:
        level, places = plotter.level("chance", chance, [score.step for score in scores], "$baseline")
        drawn.append((level | {"offsetgroup": ACC.label}, places))
    about = " ".join(_about(last, sets[1:]))
    chart = plotter.chart(f"benchmark-{number}", name, about, drawn, tickformat=".0%", hoverformat=".1%")
    axis = chart.layout["yaxis"] | _heights(chart)
    return attrs.evolve(chart, layout=chart.layout | _BESIDE_EACH_OTHER | {"yaxis": axis})


def _heights(chart: Chart) -> dict[str, Any]:
    """Give an axis the range of all intervals; plotly would begin at 0 where points stand beside each other."""
    ends: list[float] = []
    for trace in chart.data:
        widths = trace["error_y"]["array"] if "error_y" in trace else [0.0] * len(trace["y"])
        known = [(y, width) for y, width in zip(trace["y"], widths, strict=True) if y is not None]
        ends += [end for y, width in known for end in (y - width, y + width)]
    room = 0.06 * (max(ends) - min(ends))
    return {"range": [rounded(min(ends) - room), rounded(max(ends) + room)]} if room else {}


def _about(last: Score, other_sets: Sequence[int | None]) -> Iterator[str]:
    """Say what the latest evaluation found, and what hollow points are."""
    rows = "" if last.num_samples is None else f", {last.num_samples:,} rows"
    chance = "" if last.acc.chance is None else f", chance {100 * last.acc.chance:.1f} %"
    yield _told(f"{last.acc.percent} at step {last.step:,}{rows}{chance}", last.acc)
    for measure, measured in last.further:
        yield _told(f"{measure.label.capitalize()}: {measured.percent}", measured)
    if other_sets:
        known = " or ".join(f"{rows:,}" for rows in sorted(rows for rows in other_sets if rows is not None))
        yield f"Hollow points are of {known or 'an unknown number of'} rows: not to be compared with the others."


def _told(said: str, measured: Measured) -> str:
    return f"{said}: {measured.verdict}." if measured.verdict else f"{said}."


def _line(measure: Measure, scores: Sequence[Score], plotter: Plotter, *, hollow: bool) -> Any:
    """Draw one score over evaluations of equally many rows."""
    found = [score.measured.get(measure.name) for score in scores]
    values = [None if each is None else each.share for each in found]
    widths = [0.0 if each is None else rounded(each.half_width or 0.0) for each in found]
    color, rows, first = f"${measure.color}", scores[0].num_samples, measure is ACC
    style: dict[str, Any] = {"mode": "lines+markers", "width": 2 if first else 1.5}
    style |= {"legendgroup": measure.label, "offsetgroup": measure.label}
    if any(widths):
        style["error_y"] = {"type": "data", "array": widths, "thickness": 1, "width": 3, "color": color}
    style["marker"] = {"symbol": "circle-open" if hollow else "circle"}
    name = f"{measure.label}, {rows:,} rows" if first and rows is not None else measure.label
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
