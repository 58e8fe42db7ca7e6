"""The charts of the report, as figures of plotly: plain values, which its JavaScript draws in the page.

A color is a name such as ``$train``, which the page replaces by that of its light or dark theme. Text from data is
escaped, for plotly takes some HTML for markup.
"""

from collections.abc import Sequence
from html import escape, unescape
from typing import Any

import attrs

from stlm.experiments.report.cost import Cost
from stlm.experiments.report.curves import smoothed, smoothing_width, thinned
from stlm.experiments.report.quantities import rounded, short
from stlm.experiments.report.record import Record, number
from stlm.experiments.report.scores import Score

SERIES = 8
"""Colors that the page has for lines of one chart: ``$series-0`` and so on."""


@attrs.frozen
class Key:
    """What one line of a chart stands for: its name, and its color, style and opacity by the names of CSS."""

    name: str
    color: str
    style: str
    opacity: float


@attrs.frozen
class Chart:
    """One figure. ``x`` has, of each trace, its places by step, tokens and FLOPs; empty where it has no such axis."""

    id: str
    title: str
    about: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
    x: list[dict[str, Sequence[float]]] = attrs.Factory(list)
    keys: list[Key] = attrs.Factory(list)


@attrs.frozen
class Plotter:
    """Draws lines over the course of a run."""

    cost: Cost

    def places(self, steps: Sequence[int]) -> dict[str, Sequence[float]]:
        """Return where steps are on each axis; without FLOPs where they are not known."""
        by_tokens = [round(self.cost.tokens(step)) for step in steps]
        by_flops = [rounded(self.cost.flops(step)) for step in steps]
        known = {"flops": by_flops} if any(by_flops) else {}
        return {"step": list(steps), "tokens": by_tokens, **known}

    def line(
        self, name: str, lines: Sequence[dict[str, Any]], values: Sequence[float | None], color: str, **style: Any
    ) -> tuple[dict[str, Any], dict[str, Sequence[float]]]:
        """Draw values, one for each of the lines with a ``step``, with fewer points where there are very many."""
        kept = thinned(values)
        y = [None if (value := values[place]) is None else rounded(value) for place in kept]
        stroke = {"color": color, "width": style.pop("width", 2), "dash": style.pop("dash", "solid")}
        trace = {"type": "scatter", "name": escape(name), "y": y, "mode": "lines", "line": stroke, **style}
        return trace, self.places([lines[place]["step"] for place in kept])

    def noisy(self, name: str, lines: Sequence[dict[str, Any]], values: Sequence[float | None]) -> list[Any]:
        """Draw numbers of single steps; where there are many, pale, and a line of their means above them."""
        width = smoothing_width(len(values))
        if not width:
            return [self.line(name, lines, values, "$train")]
        pale = self.line(name, lines, values, "$train", opacity=0.35, width=1)
        return [pale, self.line(f"{name}, mean of {width} lines", lines, smoothed(values, width), "$train")]

    def level(self, name: str, value: float, steps: Sequence[int], color: str) -> Any:
        """Draw a dashed line at one height, from the first of the steps to the last."""
        ends = [{"step": step} for step in (steps[0], steps[-1])]
        return self.line(name, ends, [value, value], color, dash="dash", width=1.5)

    def chart(self, name: str, title: str, about: str, lines: Sequence[Any], **axis: Any) -> Chart:
        """Put lines into one figure, whose y-axis is as ``axis`` says."""
        layout = {"yaxis": axis, "hovermode": "x unified", "showlegend": False}
        keys = [_key(trace) for trace, _ in lines] if len(lines) > 1 else []
        return Chart(name, title, about, [trace for trace, _ in lines], layout, [places for _, places in lines], keys)


def _key(trace: dict[str, Any]) -> Key:
    """Explain a line as the page does, whose text wraps where plotly's would not."""
    dash = {"dash": "dashed", "dot": "dotted"}.get(trace["line"]["dash"], "solid")
    return Key(unescape(trace["name"]), trace["line"]["color"].removeprefix("$"), dash, trace.get("opacity", 1))


def column(lines: Sequence[dict[str, Any]], key: str) -> list[float | None]:
    """Take one number of each line; None, which is a gap, where it has none."""
    return [number(line.get(key)) for line in lines]


def curves(record: Record, plotter: Plotter) -> list[Chart]:
    """Draw the loss, the learning rate, the norm of the gradient and the throughput, as far as there are lines."""
    found = [_loss(record, plotter), _rate(record, plotter), _grad_norm(record, plotter), _throughput(record, plotter)]
    return [chart for chart in found if chart is not None]


def _loss(record: Record, plotter: Plotter) -> Chart | None:
    train, held_out = column(record.train, "loss"), column(record.held_out, "loss")
    lines: list[Any] = []
    about = ["Nats a token."]
    if known := _known(train):
        lines += plotter.noisy("training", record.train, train)
        about.append(f"Training: {short(known[0])} at first, {short(known[-1])} at last, of single steps.")
    if known := _known(held_out):
        lines.append(plotter.line("held-out", record.held_out, held_out, "$held-out", mode="lines+markers"))
        about.append(f"Held-out: {short(known[-1])} at last, {short(min(known))} at best.")
    unigram = next((v for v in reversed(column(record.held_out, "unigram_loss")) if v is not None), None)
    steps = [line["step"] for line in (*record.train, *record.held_out)]
    if unigram is not None:
        lines.append(plotter.level("unigram, held-out", unigram, [min(steps), max(steps)], "$baseline"))
        about.append(f"A model that knows only how often each token occurs has {short(unigram)}.")
    return plotter.chart("loss", "Loss", " ".join(about), lines, hoverformat=".4f") if lines else None


def _rate(record: Record, plotter: Plotter) -> Chart | None:
    return _simple(
        record, plotter, "lr", "Learning rate", "Before each parameter group scales it.", noisy=False, tickformat="~e"
    )


def _grad_norm(record: Record, plotter: Plotter) -> Chart | None:
    known = _known(column(record.train, "grad_norm"))
    wide = known and min(known) > 0 and max(known) > 30 * min(known)
    axis: dict[str, Any] = {"type": "log", "dtick": 1, "tickformat": "~g"} if wide else {}
    about = f"Before it is clipped.{' Logarithmic scale.' if wide else ''}"
    return _simple(record, plotter, "grad_norm", "Gradient norm", about, hoverformat=".4g", **axis)


def _throughput(record: Record, plotter: Plotter) -> Chart | None:
    about = "Tokens a second in optimizer steps; evaluation and checkpoints are not counted."
    used = plotter.cost.mean("mfu")
    if used is not None:
        about += f" On average {100 * used:.1f} % of what this device reaches in large matrix products."
    return _simple(record, plotter, "tokens_per_second", "Throughput", about, rangemode="tozero", hoverformat=".3s")


def _simple(
    record: Record, plotter: Plotter, key: str, title: str, about: str, *, noisy: bool = True, **axis: Any
) -> Chart | None:
    values = column(record.train, key)
    if not _known(values):
        return None
    label = title.lower()
    drawn = (
        plotter.noisy(label, record.train, values) if noisy else [plotter.line(label, record.train, values, "$train")]
    )
    name = key.replace("_", "-")
    return plotter.chart(name, title, about, drawn, **axis)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def benchmark_chart(number_: int, name: str, scores: Sequence[Score], plotter: Plotter) -> Chart:
    """Draw the accuracy on a benchmark at each evaluation, with 95 % intervals, against chance."""
    lines = [{"step": score.step} for score in scores]
    bars = {"type": "data", "array": [rounded(score.half_width or 0.0) for score in scores], "thickness": 1, "width": 3}
    style: dict[str, Any] = {"mode": "lines+markers", "error_y": {**bars, "color": "$train"}}
    drawn = [plotter.line("acc", lines, [score.acc for score in scores], "$train", **style)]
    if any(score.acc_norm is not None for score in scores):
        drawn.append(plotter.line("acc_norm", lines, [score.acc_norm for score in scores], "$held-out", width=1.5))
    last = scores[-1]
    about = f"{last.percent} at step {last.step:,}"
    if last.chance is not None:
        drawn.append(plotter.level("chance", last.chance, [line["step"] for line in lines], "$baseline"))
        about += f", chance {100 * last.chance:.1f} %"
    return plotter.chart(f"benchmark-{number_}", name, f"{about}.", drawn, tickformat=".0%", hoverformat=".1%")


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
