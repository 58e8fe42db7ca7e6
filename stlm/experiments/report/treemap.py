"""The parameters of a model as areas inside each other."""

from html import escape

from stlm.experiments.report.charts import Chart
from stlm.experiments.report.quantities import count

_COLORS = {"attn": "$attention", "ffn": "$ffn", "mlp": "$ffn", "embed": "$embedding", "head": "$head"}


def treemap(by_module: dict[str, int]) -> Chart:
    """Draw the parameters of each module as an area, inside that of the module which holds it."""
    sizes: dict[str, int] = {}
    for path, size in by_module.items():
        parts = path.split(".") if path else []
        for depth in range(len(parts) + 1):
            inner = ".".join(parts[:depth])
            sizes[inner] = sizes.get(inner, 0) + size
    paths = [path for path, size in sizes.items() if size]
    trace = {
        "type": "treemap",
        "branchvalues": "total",
        "ids": [f"model.{path}" if path else "model" for path in paths],
        "labels": [escape(path.rpartition(".")[2] or "model") for path in paths],
        "parents": [_parent(path) for path in paths],
        "values": [sizes[path] for path in paths],
        "text": [count(sizes[path]) for path in paths],
        "texttemplate": "%{label}<br>%{text}",
        "hovertemplate": "%{id}<br>%{value:,} parameters, %{percentRoot:.1%} of all<extra></extra>",
        "marker": {"colors": [_shade(path) for path in paths], "line": {"color": "$surface", "width": 1}},
        "tiling": {"pad": 2},
        "pathbar": {"visible": True},
    }
    about = f"{sizes.get('', 0):,} parameters; a shared weight counts once, where it comes first."
    hint = "Click to look inside; the bar above leads back."
    margin = {"margin": {"t": 26, "r": 0, "b": 0, "l": 0}}
    return Chart("parameters-by-module", "By module", about, [trace], margin, hint=hint)


def _parent(path: str) -> str:
    if not path:
        return ""
    outer = path.rpartition(".")[0]
    return f"model.{outer}" if outer else "model"


def _shade(path: str) -> str:
    """Color a module by what it is: attention, feed-forward, a table of embeddings, or anything else."""
    for mark, color in _COLORS.items():
        if mark in path:
            return color
    return "$other" if path else "$surface"
