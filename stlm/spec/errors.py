"""Every error that stlm raises for a user, in one tree; the command line turns each branch into an exit status.

StlmError
├── SpecError    mistakes in a spec, as diagnostics                                   exit 2
├── UsageError   a mistake outside a spec (a path, a flag), or found while compiling  exit 2
└── WorkError    the work failed (disk, hub, numbers)                                 exit 1
"""

from collections.abc import Iterable

from stlm.spec.diagnostics import Diagnostic


class StlmError(Exception):
    """The base of all errors that are meant for a user; its text is complete and needs no traceback.

    ``told_by_main``: of several processes that train together, all raise it, and the main one tells it.
    """

    told_by_main = False


class SpecError(StlmError):
    """A spec has mistakes; ``diagnostics`` holds all of them, in the order of the file."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(d.headline() for d in self.diagnostics))

    def __reduce__(self) -> tuple[type["SpecError"], tuple[tuple[Diagnostic, ...]]]:
        """Be pickled by the diagnostics, not by the text, so that another process can be told."""
        return type(self), (self.diagnostics,)


class UsageError(StlmError):
    """What was asked for cannot be asked for: a path that is not there, an option out of place.

    ``key`` is the spec's, where the error is about one: what is found while a spec is compiled is told at its place.
    It is a path (`model.hidden_dim`), or the name alone of an option of the component that found the mistake.
    """

    def __init__(self, message: str, *, key: str | None = None) -> None:
        self.key = key
        super().__init__(message)


class WorkError(StlmError):
    """The work itself failed: the disk is full, a hub cannot be reached, a loss is not finite."""
