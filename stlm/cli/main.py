"""``stlm``: finds the command, and turns every error that is meant for a user into one line and an exit status."""

import importlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import click

from stlm.spec.diagnostics import Diagnostic
from stlm.spec.errors import SpecError, StlmError, WorkError

_COMMANDS = ("init", "check", "compile", "explain", "train", "generate", "plugins")
_COMPLETION = "_STLM_COMPLETE"
_FAILED, _MISTAKE, _INTERRUPTED = 1, 2, 130


class _Lazy(click.Group):
    """Imports a command's file only when that command is asked for, so that ``--help`` and ``check`` answer at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        return importlib.import_module(f"stlm.cli.{name}").command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from stlm.spec.suggest import nearest

            help_lines = "".join(f"\nhelp: {h}" for h in nearest(args[0], _COMMANDS))
            raise click.UsageError(f"there is no command `{args[0]}`{help_lines}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="stlm")
@click.option("--traceback", is_flag=True, help="Show Python's traceback of an error (also STLM_TRACEBACK=1).")
@click.pass_context
def cli(ctx: click.Context, traceback: bool) -> None:
    """stlm compiles one YAML spec into a language model, and trains it.

    \b
    stlm init my.yaml              write a commented spec to start from
    stlm check my.yaml             find every mistake in it
    stlm compile my.yaml --dry-run see its parameters and cost before a GPU hour is spent
    stlm train my.yaml             train it
    stlm generate RUN -p "Once"    let it speak
    """
    ctx.ensure_object(dict)["traceback"] = traceback


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends in `SystemExit` with a status that means something."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    wants_traceback = "--traceback" in given or os.environ.get("STLM_TRACEBACK") == "1"
    given = [a for a in given if a != "--traceback"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no `→` gets a `?`
    try:
        status = _guarded(lambda: _run(given), wants_traceback)
        if sys.stdout is not None:  # it is None where it was closed beforehand
            sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as error:
        # The reader of our output has left, as in `stlm … | head -1`; rich turns that into an exit.
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)


def _run(arguments: list[str]) -> Any:
    """Do what click's own `main` does, except that a reader who leaves is no failure."""
    completion = os.environ.get(_COMPLETION)
    if completion:
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "stlm", _COMPLETION, completion)
    try:
        with cli.make_context("stlm", arguments) as context:
            return cli.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code


def _guarded(run: Callable[[], Any], wants_traceback: bool) -> int:
    try:
        result = run()
        return result if isinstance(result, int) else 0
    except BrokenPipeError:
        raise
    except click.exceptions.Abort:
        return _interrupted(wants_traceback)
    except KeyboardInterrupt:
        return _interrupted(wants_traceback)
    except click.ClickException as error:
        text = error.format_message()
        _say(wants_traceback, text if text.startswith("Usage: ") else f"error: {text}")
        return _MISTAKE
    except SpecError as error:
        show(error.diagnostics)
        _say(wants_traceback)
        return _MISTAKE
    except WorkError as error:
        _say(wants_traceback, f"error: {error}")
        return _FAILED
    except StlmError as error:
        _say(wants_traceback, f"error: {error}")
        return _MISTAKE
    except OSError as error:
        _say(wants_traceback, f"error: {_os_error(error)}")
        return _FAILED
    except (MemoryError, RecursionError) as error:
        _say(wants_traceback, f"error: out of memory ({type(error).__name__})")
        return _FAILED
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        _say(wants_traceback, f"error: {text}", "help: `stlm --traceback …` shows where this comes from")
        return _FAILED


def _interrupted(wants_traceback: bool) -> int:
    _say(wants_traceback, "interrupted")
    return _INTERRUPTED


def _os_error(error: OSError) -> str:
    where = f"`{error.filename}`: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _say(wants_traceback: bool, *lines: str) -> None:
    if wants_traceback:
        traceback.print_exc()
    for line in lines:
        click.echo(line, err=True)


def show(diagnostics: Sequence[Diagnostic]) -> None:
    """Print diagnostics to stderr, as a compiler does."""
    click.echo("\n\n".join(d.render() for d in diagnostics), err=True)
