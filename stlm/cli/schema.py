"""``stlm schema``: the language as a JSON Schema, for editors."""

from pathlib import Path

import click

from stlm.cli.arguments import print_json, put
from stlm.spec.errors import UsageError


@click.command("schema")
@click.option(
    "--output", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write it there, not to stdout."
)
def command(output: Path | None) -> None:
    """Print the JSON Schema (2020-12) of what a spec may say, with the plugins that are installed.

    `stlm init` writes it beside a spec, whose first lines tell editors of it. Write it again when a plugin has come or
    gone.

    \b
    stlm schema
    stlm schema --output stlm.schema.json
    """
    from stlm.registry.schema import schema

    if output is None:
        print_json(schema())
        return
    write(output)
    put(str(output))


def write(file: Path) -> None:
    """Write the schema of what is installed; raises `UsageError` where there is no such folder."""
    from stlm.data.storage import write_file
    from stlm.registry.schema import as_text, schema

    if not file.parent.is_dir():
        raise UsageError(f"`{file}` cannot be written: there is no folder `{file.parent}`")
    write_file(file, as_text(schema()))
