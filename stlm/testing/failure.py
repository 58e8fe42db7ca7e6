"""What a check that raised is told as: a line, the place in the package that is looked at, and a traceback."""

import traceback
from collections.abc import Iterator
from pathlib import Path

from stlm.spec import SpecError, StlmError
from stlm.spec.components import NotFoundError
from stlm.testing.checking import BrokenError, NotLoadedError
from stlm.testing.subject import Subject

LONGEST = 400
"""Characters of a line."""


def told_of(error: Exception, subject: Subject) -> tuple[str, str]:
    """Say in one line why a check failed, and give the traceback of what went wrong first.

    Of what was raised in the package the line also says where: ``(module.py:12)``.
    """
    root = _root(error)
    trace = "".join(traceback.format_exception(root, chain=False))
    where = "" if isinstance(root, BrokenError | StlmError) else _place(root, _package(subject), own=root is not error)
    if isinstance(error, SpecError):
        said = error.diagnostics[0].message
    elif isinstance(error, BrokenError | StlmError):
        said = str(error)
    else:
        said = f"{type(error).__name__}: {error}"
    return shortened(said, LONGEST - len(where)) + where, trace


def shortened(text: str, most: int = LONGEST) -> str:
    """A text on one line, cut where a word ends if it is longer than ``most`` characters."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    return f"{text[: most - 1].rpartition(' ')[0] or text[: most - 2]} …"


def _root(error: BaseException) -> BaseException:
    """What an error was made of, or itself."""
    *_, last = _chain(error)
    return last


def _chain(error: BaseException) -> Iterator[BaseException]:
    yield error
    loading = isinstance(error, NotLoadedError | NotFoundError)  # raised `from None`, for a message is enough there
    inner = error.__cause__ or (error.__context__ if loading else None)
    if inner is not None:
        yield from _chain(inner)


def _package(subject: Subject) -> str:
    """The package that its class is of, or would be if it could be loaded."""
    try:
        module = subject.cls.__module__
    except Exception:
        claimed = subject.bench.registry.installed.entries[subject.kind].get(subject.asked.partition("@")[0], ())
        module = next((entry.module for entry in claimed), "")
    return module.partition(".")[0]


def _place(error: BaseException, package: str, *, own: bool) -> str:
    """Name the innermost place in a package that an error passed; else, unless ``own`` ones alone count, any."""
    places = [
        (frame.f_globals.get("__name__", "").partition(".")[0], frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    found = [place for place in places if place[0] == package] or ([] if own else places)
    return f" ({Path(found[-1][1]).name}:{found[-1][2]})" if found else ""
