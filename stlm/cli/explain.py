"""``stlm explain``: where the values of a resolved spec came from."""

import json
from typing import Any

import click

from stlm.cli.arguments import as_json, overrides, print_json, put, spec_argument
from stlm.registry.loading import load_spec
from stlm.spec.errors import UsageError
from stlm.spec.explain import Explained, explain
from stlm.spec.reading import ReadingError, Scalar, read_value
from stlm.spec.structure import as_text
from stlm.spec.suggest import nearest


@click.command("explain")
@spec_argument
@click.argument("path", required=False)
@overrides
@as_json
def command(spec: str, path: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Tell of one value of SPEC, or of all, where it came from.

    \b
    stlm explain my.yaml trainer.lr_decay_iters
    stlm explain my.yaml model.attn
    """
    rows = explain(load_spec(spec, overrides))
    if path is not None:
        chosen = [r for r in rows if r.path == path or r.path.startswith(f"{path}.")]
        if not chosen:
            hint = "; ".join(nearest(path, [r.path for r in rows]))
            raise UsageError(f"the spec has no value at `{path}`" + (f"; {hint}" if hint else ""))
        rows = chosen
    if as_json:
        print_json([r.as_json() for r in rows])
        return
    width = max(len(r.path) + len(_shown(r)) for r in rows) + 3
    for row in rows:
        left = f"{row.path} = {_shown(row)}"
        put(f"{left:<{min(width, 60)}}  {row.origin}")
        for source, value in row.sources.items():
            put(f"    {source} = {value!r}")


def _shown(row: Explained) -> str:
    return f"[{', '.join(map(_text, row.value))}]" if isinstance(row.value, list) else _text(row.value)


def _text(value: Any) -> str:
    """Write a value on one line, as YAML would read it: a string in quotes where it would be something else without."""
    if not isinstance(value, str) or _is_plain(value):
        return as_text(value)
    return json.dumps(value, ensure_ascii=False)


def _is_plain(text: str) -> bool:
    try:
        node = read_value(text, "", prefix="")
    except ReadingError:
        return False
    return isinstance(node, Scalar) and not node.quoted and node.value == text
