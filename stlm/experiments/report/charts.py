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
from stlm.experiments.report.record import Record
from stlm.experiments.report.sensible import ANY, number
from stlm.training.loop import ADDED

SERIES = 8
"""Colors that the page has for lines of one chart: ``$series-0`` and so on."""
_LEVEL = "level"


@attrs.frozen
class Key:
    """What one line of a chart stands for: its name, and its color, style and opacity by the names of CSS."""

    name: str
    color: str
    style: str
    opacity: float


@attrs.frozen
class Chart:
    """One figure. ``x`` has, of each trace, its places by step, tokens and FLOPs; empty where it has no such axis.

    ``hint`` says what a reader can do with it, which nobody can on paper.
    """

    id: str
    title: str
    about: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
    x: list[dict[str, Sequence[float]]] = attrs.Factory(list)
    keys: list[Key] = attrs.Factory(list)
    hint: str = ""


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
        """Draw values, one for each of the lines with a ``step``, with fewer points where there are very many.

        A value that no line leads to, because there is no other beside it, is a point.
        """
        kept = thinned(values)
        y = [None if (value := values[place]) is None else rounded(value) for place in kept]
        stroke = {"color": color, "width": style.pop("width", 2), "dash": style.pop("dash", "solid")}
        if "mode" not in style and any(alone := _alone(y)):
            style |= {"mode": "lines+markers", "marker": {"opacity": 1, "size": [7 if one else 0 for one in alone]}}
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
        """Mark one height with a dashed line over the whole width, which `chart` draws; it is told of at some steps."""
        unseen: dict[str, Any] = {"mode": "markers", "marker": {"opacity": 0}, "meta": _LEVEL}
        return self.line(
            name, [{"step": step} for step in steps], [value] * len(steps), color, dash="dash", width=1.5, **unseen
        )

    def chart(self, name: str, title: str, about: str, lines: Sequence[Any], **axis: Any) -> Chart:
        """Put lines into one figure, whose y-axis is as ``axis`` says."""
        traces = [trace for trace, _ in lines]
        layout = {"yaxis": {**_around(traces, axis), **axis}, "hovermode": "x unified", "showlegend": False}
        if levels := [trace for trace in traces if trace.get("meta") == _LEVEL]:
            layout["shapes"] = [_across(trace) for trace in levels]
        keys: dict[str, Key] = {}
        for trace in traces if len(traces) > 1 else ():
            keys.setdefault(_name(trace), _key(trace))
        return Chart(name, title, about, traces, layout, [places for _, places in lines], list(keys.values()))


def _alone(values: Sequence[float | None]) -> list[bool]:
    """Say of each value whether there is none on either side of it."""
    there = [False, *(value is not None for value in values), False]
    return [there[place] and not (there[place - 1] or there[place + 1]) for place in range(1, len(there) - 1)]


def _across(level: dict[str, Any]) -> dict[str, Any]:
    """Draw a level from one side of its figure to the other."""
    ends = {"xref": "paper", "x0": 0, "x1": 1, "y0": level["y"][0], "y1": level["y"][0]}
    return {"type": "line", "layer": "above", "line": level["line"], **ends}


def _around(traces: Sequence[dict[str, Any]], axis: dict[str, Any]) -> dict[str, Any]:
    """Give a range to an axis along which all values are one, of which plotly would go to 1 below and above."""
    values = {value for trace in traces for value in trace["y"] if value is not None}
    bars = any(any(trace["error_y"]["array"]) for trace in traces if "error_y" in trace)
    if len(values) != 1 or bars:
        return {}
    (value,) = values
    wide = abs(value) or 1.0
    return {"range": [0, 2 * wide] if "rangemode" in axis else [value - wide / 2, value + wide / 2]}


def _name(trace: dict[str, Any]) -> str:
    """Name a line, or the group of lines that are explained together."""
    return trace.get("legendgroup") or unescape(trace["name"])


def _key(trace: dict[str, Any]) -> Key:
    """Explain a line as the page does, whose text wraps where plotly's would not."""
    dash = {"dash": "dashed", "dot": "dotted"}.get(trace["line"]["dash"], "solid")
    return Key(_name(trace), trace["line"]["color"].removeprefix("$"), dash, trace.get("opacity", 1))


def column(lines: Sequence[dict[str, Any]], key: str) -> list[float | None]:
    """Take one number of each line; None, which is a gap, where it has none."""
    return [number(line.get(key)) for line in lines]


def curves(record: Record, plotter: Plotter) -> list[Chart]:
    """Draw the losses, the learning rate, the norm of the gradient and the throughput, as far as there are lines."""
    parts = (_loss, _added, _rate, _grad_norm, _throughput)
    return [chart for chart in (part(record, plotter) for part in parts) if chart is not None]


def _loss(record: Record, plotter: Plotter) -> Chart | None:
    train, held_out = column(record.train, "loss"), column(record.held_out, "loss")
    lines: list[Any] = []
    about = ["Nats per token."]
    if known := _known(train):
        lines += plotter.noisy("training", record.train, train)
        about.append(f"Training, of single steps: {short(known[0])} at first, {short(known[-1])} at last.")
    if known := _known(held_out):
        lines.append(plotter.line("held-out", record.held_out, held_out, "$held-out", mode="lines+markers"))
        about.append(f"Held-out: {short(known[-1])} at last, {short(min(known))} at best.")
    unigram = next((v for v in reversed(column(record.held_out, "unigram_loss")) if v is not None), None)
    steps = [line["step"] for line in (*record.train, *record.held_out)]
    if unigram is not None:
        lines.append(plotter.level("unigram, held-out", unigram, [min(steps), max(steps)], "$baseline"))
        about.append(f"Unigram: {short(unigram)}, of a model that knows only how often each token occurs.")
    return plotter.chart("loss", "Loss", " ".join(about), lines, hoverformat=".4f") if lines else None


def _added(record: Record, plotter: Plotter) -> Chart | None:
    """Draw the losses that components add, each by itself."""
    names = sorted({key for line in record.train for key in line if key.startswith(ADDED)})
    columns = {name: [v if ANY.holds(v) else None for v in column(record.train, name)] for name in names}
    known = [name for name in names if _known(columns[name])]
    lines = [
        plotter.line(name.removeprefix(ADDED), record.train, columns[name], f"$series-{place}")
        for place, name in enumerate(known[:SERIES])
    ]
    more = f" {len(known) - SERIES} more are in metrics.jsonl." if len(known) > SERIES else ""
    about = f"What components add to the objective, of single steps. The loss is without it.{more}"
    return plotter.chart("added-losses", "Added losses", about, lines, hoverformat=".4g") if lines else None


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
        about += f" MFU: {100 * used:.1f} % on average of what this device reaches in large matrix products."
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
