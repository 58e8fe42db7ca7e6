"""``stlm prepare``: the tokenizer and tokens of a spec, ready for training."""

import shlex
from typing import Any

import click

from stlm.cli import signals
from stlm.cli.arguments import as_json, overrides, print_json, put, spec_argument
from stlm.cli.edge import DONE, INTERRUPTED, tell
from stlm.registry.loading import load_spec


@click.command("prepare")
@spec_argument
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Processes side by side; one a core unless said."
)
@click.option(
    "--inspect", "windows", type=click.IntRange(min=1), metavar="N", help="Also show N windows, and what all is like."
)
@overrides
@as_json
@click.pass_context
def command(
    context: click.Context,
    /,
    spec: str,
    workers: int | None,
    windows: int | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> int:
    """Make the tokenizer and the tokens of SPEC, once, in general.paths.data_dir.

    What is there already is used. Stopped at any moment, the same command goes on from the shards that are finished, to
    the very bytes that an undisturbed run would have written, with any number of workers.

    \b
    stlm prepare my.yaml
    stlm prepare my.yaml --workers 16 --json
    stlm prepare my.yaml --inspect 3
    """
    resolved = load_spec(spec, overrides)
    from stlm.experiments.prepare import prepare_spec

    try:
        prepared, tokenizer = prepare_spec(resolved, workers=workers)
    except KeyboardInterrupt:
        signals.ignore_further()
        tell(f"interrupted; go on with: stlm {shlex.join(context.find_root().obj.arguments)}")
        return INTERRUPTED
    seen = None
    if windows is not None:
        from stlm.data.inspection import inspect

        seen = inspect(prepared, tokenizer, resolved, windows)
    if as_json:
        print_json(prepared.as_json() | ({} if seen is None else {"inspect": seen.as_json()}))
        return DONE
    for line in summary(prepared.as_json()):
        put(line)
    if seen is not None:
        from stlm.cli.windows import print_inspection

        put()
        print_inspection(seen)
    return DONE


def _blank(count: int) -> str:
    return f", and {count:,} without a visible character left out" if count else ""


def summary(said: dict[str, Any]) -> list[str]:
    """Put what was prepared into lines."""
    tokens = said["tokens"]
    made = (
        "as prepared before" if said["reused"] else f"{said['seconds']:.1f} s, {said['tokens_per_second']:,} tokens/s"
    )
    return [
        f"folder      {said['folder']}",
        f"documents   {said['documents']:,} ({said['bytes']:,} bytes){_blank(said['blank_documents'])}",
        f"tokens      {tokens['train']:,} to train on, {tokens['val']:,} held out, {said['dtype']}",
        f"held out    {said['split']}",
        f"shards      {len(said['shards'])}",
        f"encoded by  {said['engine']}, {made}",
    ]
