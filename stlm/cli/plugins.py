"""``stlm plugins``: what is installed, what one component takes, whether it keeps its contract, and a new one."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from stlm.cli import completion, schema
from stlm.cli.arguments import as_json, parse_setting, print_json, put
from stlm.cli.edge import tell, with_traceback
from stlm.cli.shipped import SCHEMA
from stlm.registry.describe import default_words, describe_component, find_kind, listing, remarks
from stlm.registry.kinds import KINDS
from stlm.spec.errors import UsageError


@click.group("plugins")
def command() -> None:
    """Look at the registry: which components are installed, and what they take. Check a package, or start one."""


@command.command("list")
@click.argument("kind", required=False, shell_complete=completion.kinds)
@as_json
def list_them(kind: str | None, as_json: bool) -> None:
    """List the components that are installed, or those of one KIND.

    \b
    stlm plugins list
    stlm plugins list attention
    """
    rows = listing(kind)
    if as_json:
        print_json(rows)
        return
    width = max((len(r["name"]) for r in rows), default=0)
    last = ""
    for row in rows:
        if row["kind"] != last:
            put(("" if not last else "\n") + click.style(row["kind"], bold=True))
            last = row["kind"]
        also = f" (also {', '.join(row['aliases'])})" if row["aliases"] else ""
        brought = "" if row["plugin"] == "stlm" else f" [{row['plugin']} {row['version']}]"
        put(f"  {row['name']:<{width}}  {row['doc']}{also}{brought}")
    for remark in remarks():
        tell(remark)


@command.command("show")
@click.argument("kind", shell_complete=completion.kinds_or_names)
@click.argument("name", required=False, shell_complete=completion.names)
@as_json
def show(kind: str, name: str | None, as_json: bool) -> None:
    """Show what the component NAME of KIND takes: options, types, defaults, rules.

    KIND may be left out where one kind alone has the NAME.

    \b
    stlm plugins show attention causal
    stlm plugins show rope
    """
    if name is None:
        kind, name = find_kind(kind), kind
    shown = describe_component(kind, name)
    if as_json:
        print_json(shown)
        return
    title = click.style(f"{kind} {shown['name']}", bold=True)
    put(f"{title}  {shown['plugin']} {shown['version']}")
    put(shown["doc"])
    put(f"defined in {shown['file']}")
    for option in shown["options"]:
        default = "required" if option["required"] else f"default {default_words(option)}"
        put()
        put(f"  {click.style(option['key'], bold=True)}: {option['takes']} ({default})")
        put(f"      {option['doc']}")
    if shown["rules"]:
        put()
        for rule in shown["rules"]:
            put(f"  rule: {rule['says']} ({', '.join(rule['keys'])})")


@command.command("check")
@click.argument("package", required=False, shell_complete=completion.packages)
@click.option("--kind", shell_complete=completion.kinds, help="The kind of the one component to look at.")
@click.option("--name", shell_complete=completion.names, help="Its name; a family's member by its whole name.")
@click.option(
    "--only",
    multiple=True,
    metavar="CHECK",
    shell_complete=completion.checks,
    help="Only this check. May be given again and again.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=completion.options_of("", "name"),
    help="With --name: an option in its spec, as YAML.",
)
@as_json
def check(
    package: str | None,
    kind: str | None,
    name: str | None,
    only: tuple[str, ...],
    settings: tuple[str, ...],
    as_json: bool,
) -> int:
    """Check whether the components of an installed PACKAGE keep the contract of their kinds.

    A line for each check: passed, FAILED with the reason, or skipped with the reason. Exit status 1 where any failed.
    With --traceback, that of each reason. What each check promises: docs/reference/conformance.md.

    \b
    stlm plugins check stlm-probe
    stlm plugins check --kind attention --name probe
    stlm plugins check stlm-probe --only causality --only generation
    """
    from stlm.cli.checks import report

    if (package is None) == (name is None) or (kind is not None and name is None):
        raise UsageError("say what to check: a package, or one component by `--kind KIND --name NAME`")
    if settings and name is None:
        raise UsageError("`--set` is about the spec of one component: name that by `--kind KIND --name NAME`")
    options = dict(parse_setting(setting) for setting in settings)
    chosen = None if name is None else (kind or find_kind(name.partition("@")[0]), name)
    return report(package, chosen, only, options, as_json=as_json, tracebacks=with_traceback())


@command.command("new")
@click.argument("package", metavar="stlm-NAME")
@click.option("--kind", required=True, shell_complete=completion.kinds, help=f"Its kind: {', '.join(KINDS)}.")
def new(package: str, kind: str) -> None:
    """Write a package that brings one component, complete and passing, into a new folder ./stlm-NAME.

    Its spec trains with the component; editors are offered what the spec may say, the new component included.

    \b
    stlm plugins new stlm-probe --kind attention
    pip install -e ./stlm-probe
    stlm plugins check stlm-probe
    """
    from stlm.testing.installed import installed_from
    from stlm.testing.scaffold import write_package

    folder = write_package(package, kind)
    with tempfile.TemporaryDirectory() as site, _without_bytecode(), installed_from(folder, Path(site)):
        schema.write(folder / SCHEMA)  # as it will be once the package is installed
    steps = f"next: pip install -e ./{folder}, then stlm plugins check {package}"
    click.echo(f"wrote {folder}; {steps}", err=True)


@contextmanager
def _without_bytecode() -> Iterator[None]:
    """Let an import leave no ``__pycache__`` where it finds a module."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
