"""``stlm init``: a commented spec to start from."""

from pathlib import Path

import click

from stlm.cli import completion, schema
from stlm.cli.arguments import put
from stlm.cli.shipped import SCHEMA, folder, names
from stlm.spec.errors import UsageError
from stlm.spec.suggest import nearest


@click.command("init")
@click.argument("file", default="spec.yaml", type=click.Path(path_type=Path))
@click.option(
    "--like",
    default="quickstart",
    show_default=True,
    metavar="NAME",
    help="Which shipped spec to start from.",
    shell_complete=completion.shipped,
)
@click.option("--list", "list_them", is_flag=True, help="List the shipped specs instead.")
def command(file: Path, like: str, list_them: bool) -> None:
    """Write a commented spec to FILE, which must not exist yet, and beside it the schema that editors look into.

    \b
    stlm init my.yaml
    stlm init my.yaml --like gpt2-124m
    """
    if list_them:
        for name in names():
            title = (folder() / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
            put(f"{name:<16} {title}")
        return
    wanted = like.removesuffix(".yaml")
    if wanted not in names():
        hint = "; ".join((*nearest(wanted, names()), "shipped: " + ", ".join(names())))
        raise UsageError(f"there is no shipped spec `{like}`; {hint}")
    text = (folder() / f"{wanted}.yaml").read_text(encoding="utf-8")
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text.replace(f"specs/{wanted}.yaml", click.format_filename(file)))
    except FileExistsError:
        raise UsageError(f"`{file}` exists; name another file, or remove it first") from None
    except OSError as error:
        raise UsageError(f"`{file}` cannot be written: {error.strerror}") from None
    schema.write(file.with_name(SCHEMA))
    shown = f"./{file}" if str(file).startswith("-") else str(file)
    click.echo(f"wrote {shown}, and {SCHEMA} for your editor; next: stlm check {shown}", err=True)
