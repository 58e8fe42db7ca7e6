"""The edge: every error that is meant for a user becomes one line on stderr and an exit status."""

import contextlib
import os
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import click

from stlm.cli import signals
from stlm.spec.diagnostics import Code, Diagnostic
from stlm.spec.errors import SpecError, StlmError, WorkError
from stlm.spec.reasons import typed_reason_of

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130


class Edge:
    """Runs a command, and tells what became of it; with ``traceback``, Python's own account comes first."""

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self.arguments = tuple(arguments)
        self.traceback = os.environ.get("STLM_TRACEBACK") == "1"

    def run(self, command: Callable[[], Any]) -> int:
        """Run a command; returns its exit status."""
        try:
            result = command()
            return result if isinstance(result, int) else DONE
        except SystemExit as error:
            return self.ends(FAILED, f"error: something called sys.exit({error.code!r}); {_where(error)}")
        except (KeyboardInterrupt, click.exceptions.Abort):
            signals.ignore_further()
            return self.ends(INTERRUPTED, "interrupted")
        except click.ClickException as error:
            text = error.format_message()
            return self.ends(MISTAKE, text if text.startswith("Usage: ") else f"error: {text}")
        except SpecError as error:
            of_all = error.told_by_main or all(d.code is not Code.DEVICE for d in error.diagnostics)
            return self.ends(MISTAKE, rendered(error.diagnostics), told_by_main=of_all)
        except StlmError as error:
            status = FAILED if isinstance(error, WorkError) else MISTAKE
            return self.ends(status, f"error: {error}", told_by_main=error.told_by_main or status == MISTAKE)
        except OSError as error:
            where = f"`{error.filename}`: " if error.filename else "cannot read or write: "
            return self.ends(FAILED, f"error: {where}{error.strerror or error}")
        except (MemoryError, RecursionError) as error:
            return self.ends(FAILED, f"error: out of memory ({type(error).__name__})")
        except Exception as error:
            text = typed_reason_of(error, limit=1000)
            return self.ends(
                FAILED, f"error: {text}", f"help: {_where(error)}; `stlm --traceback …` shows the way there"
            )

    def ends(self, status: int, *lines: str, told_by_main: bool = False) -> int:
        """Tell why a command ended; of the processes that train together, each tells only what is its own."""
        rank = process_rank()
        if rank and (told_by_main or status == INTERRUPTED):
            return status
        if self.traceback:
            tell(traceback.format_exc())
        for line in lines:
            tell(f"[process {rank}] {line}" if rank else line)
        return status


def process_rank() -> int:
    """Say which of the processes this is that `torchrun` has started; 0 is the one that speaks."""
    rank = os.environ.get("RANK", "")
    return int(rank) if "WORLD_SIZE" in os.environ and rank.isdecimal() else 0


def tell(text: str) -> None:
    """Print a line to stderr, if anybody is there to be told; where nobody is, the exit status still tells."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def _where(error: BaseException) -> str:
    """Say which line of which file raised an error: a plugin's, more often than not."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"raised at {frames[-1].filename}:{frames[-1].lineno}" if frames else "raised outside of Python code"


def rendered(diagnostics: Sequence[Diagnostic]) -> str:
    """Diagnostics as a compiler prints them."""
    return "\n\n".join(d.render() for d in diagnostics)


def _asked(context: click.Context, _: click.Parameter, value: bool) -> None:
    edge = context.find_root().obj
    if value and isinstance(edge, Edge):
        edge.traceback = True


def with_traceback() -> bool:
    """Whether the command that runs was asked for tracebacks."""
    context = click.get_current_context(silent=True)
    edge = None if context is None else context.find_root().obj
    return isinstance(edge, Edge) and edge.traceback


def traceback_option() -> click.Option:
    """Make the flag that every command takes."""
    text = "Show Python's traceback of an error (also STLM_TRACEBACK=1)."
    return click.Option(["--traceback"], is_flag=True, is_eager=True, expose_value=False, callback=_asked, help=text)
