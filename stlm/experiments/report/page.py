"""The page itself: what is known of a run, laid out as HTML that needs nothing beside it."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import attrs

from stlm.compiler.report import Report
from stlm.components.benchmark.measures import ACC, BESIDE, FURTHER, INTERVAL
from stlm.experiments.report.charts import Chart, Plotter, curves
from stlm.experiments.report.cost import Cost
from stlm.experiments.report.record import Record
from stlm.experiments.report.sampled import closed_up, sampled
from stlm.experiments.report.score_charts import benchmark_chart, text_chart
from stlm.experiments.report.scores import scores_by_benchmark
from stlm.experiments.report.summary import again, costs, descriptions, repetition, sessions, status
from stlm.experiments.report.texts import bits_over_steps, passages_told, texts
from stlm.experiments.report.treemap import treemap

_FOLDER = Path(__file__).with_name("template")


def page(record: Record, report: Report | None) -> str:
    """Render the report of a run; ``report`` is what its spec compiles to, None where that is not known.

    The page holds its styles, its script and plotly's, and forbids the browser to fetch anything or to run a script
    that is not one of these two. All text is escaped.
    """
    from markupsafe import Markup

    scripts = [_plotly(), _file("page.js")]
    rendered: str = _template().render(
        content(record, report),
        style=Markup(_file("page.css")),
        scripts=[Markup(script) for script in scripts],
        script_hashes=Markup(" ".join(f"'sha256-{_digest(script)}'" for script in scripts)),
    )
    return rendered


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(_FOLDER)
    how: dict[str, Any] = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=loader, autoescape=True, **how)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "allow_nan": False}  # browsers read no NaN
    return environment.get_template("page.html")


def content(record: Record, report: Report | None) -> dict[str, Any]:
    """Gather what the template shows."""
    cost = Cost.of(record, report)
    plotter = Plotter(cost)
    scores, absent = scores_by_benchmark(record.evaluations)
    series = bits_over_steps(record.evaluations)
    charts = {
        "curves": curves(record, plotter),
        "parameters": [] if report is None else [treemap(report.parameters.by_module)],
        "scores": [benchmark_chart(n, name, scores[name], plotter) for n, name in enumerate(sorted(scores))],
        "text": [text_chart(series, plotter)] if any(len(points) > 1 for points in series.values()) else [],
    }
    drawn = [chart for group in charts.values() for chart in group]
    return {
        "record": record,
        "status": status(record),
        "costs": costs(record, report, cost),
        "descriptions": descriptions(record, report),
        "charts": charts,
        "figures": {"charts": [_figure(chart) for chart in drawn], "axes": _axes(drawn)},
        "thinned": _thinned(record, charts["curves"]),
        "scores": {name: scores[name][-1] for name in sorted(scores)},
        "explained": [m for m in FURTHER if any(m.name in scores[name][-1].measured for name in scores)],
        "beside": BESIDE,
        "acc": ACC,
        "interval": INTERVAL,
        "absent": absent,
        "texts": texts(record.last_evaluation),
        "passages": passages_told(record.last_evaluation),
        "sampled": sampled(record.samples),
        "closed_up": closed_up,
        "shared_out": any(one.get("parallel") == "fsdp" for one in record.lock.get("sessions", ())),
        "sessions": sessions(record),
        "again": again(record),
        "repetition": repetition(record),
        "parameters": None if report is None else report.parameters,
    }


def _figure(chart: Chart) -> dict[str, Any]:
    return attrs.asdict(chart, filter=lambda attribute, _: attribute.name in ("id", "data", "layout", "x"))


def _axes(charts: list[Chart]) -> list[str]:
    """Name the axes that all curves have."""
    places = [set(one) for chart in charts for one in chart.x]
    return [axis for axis in ("step", "tokens", "flops") if places and all(axis in one for one in places)]


def _thinned(record: Record, drawn: list[Chart]) -> int:
    """Return how many points the longest curve was thinned to; 0 where all lines are drawn."""
    most = max((len(trace["y"]) for chart in drawn for trace in chart.data), default=0)
    return most if len(record.train) > most else 0


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return _lines(get_plotlyjs())


def _file(name: str) -> str:
    return _lines((_FOLDER / name).read_text(encoding="utf-8"))


def _lines(text: str) -> str:
    """End lines as a browser sees them, which hashes what it sees."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
