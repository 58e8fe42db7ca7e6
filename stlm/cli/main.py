"""``stlm``: finds the command and runs it."""

import importlib
import io
import keyword
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from stlm.cli.edge import Edge, traceback_option
from stlm.cli.isolation import no_plugins_option, warn_of_unknown_plugins
from stlm.cli.signals import interruptible

_COMMANDS = (
    *("init", "check", "compile", "explain", "prepare", "train", "eval", "report", "generate", "export", "import"),
    *("plugins", "schema"),
)
_COMPLETION = "_STLM_COMPLETE"


class _Lazy(click.Group):
    """Imports a command's file only when that command is asked for, so that ``--help`` and ``check`` answer at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = f"{name}_" if keyword.iskeyword(name) else name
        return _with_traceback(importlib.import_module(f"stlm.cli.{module}").command)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from stlm.spec.suggest import nearest

            help_lines = "".join(f"\nhelp: {h}" for h in nearest(args[0], _COMMANDS))
            raise click.UsageError(f"there is no command `{args[0]}`{help_lines}")
        return super().resolve_command(ctx, args)


def _with_traceback(command: click.Command) -> click.Command:
    if all(parameter.name != "traceback" for parameter in command.params):
        command.params.append(traceback_option())
        for inner in command.commands.values() if isinstance(command, click.Group) else ():
            _with_traceback(inner)
    return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="stlm")
def cli() -> None:
    """stlm compiles one YAML spec into a language model, and trains it.

    \b
    stlm init my.yaml              write a commented spec to start from
    stlm check my.yaml             find every mistake in it
    stlm compile my.yaml --dry-run see its parameters and cost before a GPU hour is spent
    stlm train my.yaml             train it
    stlm eval RUN                  what it is worth, in numbers
    stlm report RUN                one page with its curves, scores and samples
    stlm generate RUN -p "Once"    let it speak
    """
    warn_of_unknown_plugins()


cli.params.extend((traceback_option(), no_plugins_option()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends in `SystemExit` with a status that means something."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed beforehand
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - it stays open to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no `→` gets a `?`
    edge = Edge(given)
    with interruptible():
        status = edge.run(lambda: _run(given, edge))
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has left, which is no failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _run(arguments: list[str], edge: Edge) -> Any:
    """Do what click's own `main` does, except that a reader who leaves is no failure."""
    completion = os.environ.get(_COMPLETION)
    if completion:
        from click.shell_completion import shell_complete

        from stlm.cli import bash

        bash.register()
        return shell_complete(cli, {}, "stlm", _COMPLETION, completion)
    try:
        with cli.make_context("stlm", arguments, obj=edge) as context:
            return cli.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
