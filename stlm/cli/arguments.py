"""The arguments that several commands share, and the one way in which results are printed."""

import codecs
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from stlm.cli import completion
from stlm.data.interrupts import postponed
from stlm.spec.errors import SpecError, UsageError, WorkError
from stlm.spec.reading import ReadingError, read_value
from stlm.spec.structure import plain

_F = TypeVar("_F", bound=Callable[..., Any])

spec_argument = click.argument("spec", metavar="SPEC", type=click.Path())
overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=completion.settings,
    help="Change a key, as in --set model.hidden_dim=512; VALUE is YAML. May be given again and again.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document to stdout.")


def parse_setting(text: str) -> tuple[str, Any]:
    """Split KEY=VALUE, reading VALUE as YAML; raises `UsageError`."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"a setting is KEY=VALUE, as in top_p=0.9; got {text!r}")
    try:
        return key, plain(read_value(value, f"--set {key}", prefix=f"{key}="))
    except ReadingError as error:
        raise SpecError([error.diagnostic]) from None


@contextmanager
def quick_import() -> Iterator[None]:
    """Import torch inside the block without garbage collection, which takes a tenth of that time and finds nothing.

    What was imported is then set apart, so that no later collection walks through it. GNU OpenMP, which reads its
    settings when torch is imported, is told to wait only briefly in a busy loop: where another process wants the same
    cores, its default makes a step of a tiny model take fifty times as long; alone, the short wait costs nothing.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    gc.disable()
    try:
        with postponed():
            yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def to_stdout() -> Iterator[None]:
    """Turn what stdout refuses within the block, such as a file on a full disk, into a `WorkError` that names it."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _give_stdout_up()  # what is in its buffer is not tried again
        raise WorkError(f"cannot write to stdout: {error.strerror or error}") from error


def _give_stdout_up() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def put(text: str = "", *, nl: bool = True) -> bool:
    """Print a result to stdout; false where its reader has left, as in `stlm … | head -1`, which is no failure."""
    try:
        with to_stdout():
            click.echo(text, nl=nl)
            sys.stdout.flush()
    except BrokenPipeError:
        _give_stdout_up()
        return False
    return True


def print_json(document: Any) -> None:
    """Print the one document that stdout holds under ``--json``."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    plain = codecs.lookup(encoding).name != "utf-8"  # what the stream cannot say is escaped, so that it stays JSON
    put(json.dumps(document, indent=2, ensure_ascii=plain, default=str))
