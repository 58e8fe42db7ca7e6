"""Importing the class of an entry, whatever its package does meanwhile: raise, leave, or never get done."""

import sys
import threading
from contextlib import redirect_stdout
from typing import Any

from stlm.registry.contract import check_component
from stlm.registry.discovery import Entry
from stlm.registry.version import mismatch
from stlm.spec.components import NotFoundError
from stlm.spec.diagnostics import Code
from stlm.spec.reasons import typed_reason_of

PATIENCE_SECONDS = 10.0


def import_entry(entry: Entry) -> type:
    """Load an entry point, and check the class against the entry; raises `NotFoundError`.

    What its package prints goes to stderr: stdout is a command's result.
    """
    with redirect_stdout(sys.stderr):
        return _import(entry)


def _import(entry: Entry) -> type:
    fits = None if entry.is_own else mismatch(entry.contracts, entry.distribution)
    if fits is not None:
        raise NotFoundError(Code.PLUGIN, f"{entry} {fits[0]}", (fits[1],))
    try:
        cls = entry.point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may do anything, `sys.exit` included; it must not take down the rest
        message = f"{entry} cannot be imported: {typed_reason_of(error)}"
        raise NotFoundError(Code.PLUGIN, message, (f"mend or remove {entry.distribution}",)) from None
    try:
        faults = check_component(cls, entry)
    except Exception as error:  # an annotation that means nothing, say
        faults = [f"its declaration cannot be read: {typed_reason_of(error)}"]
    if faults:
        raise NotFoundError(Code.PLUGIN, f"{entry} breaks the contract: {faults[0]}", tuple(faults[1:]))
    assert isinstance(cls, type)
    return cls


def import_with_patience(entry: Entry) -> type:
    """Do the same, but wait only so long for a package that is not stlm and was not imported yet.

    The import goes on in a thread of its own, which ends with the process.
    """
    if entry.is_own or entry.module in sys.modules:
        return import_entry(entry)
    became: list[Any] = []

    def importing() -> None:
        try:
            became.append(_import(entry))
        except BaseException as error:
            became.append(error)

    thread = threading.Thread(target=importing, daemon=True)
    with redirect_stdout(sys.stderr):
        thread.start()
        thread.join(PATIENCE_SECONDS)
    if not became:
        message = f"{entry} cannot be imported: it is not done after {PATIENCE_SECONDS:g} seconds"
        raise NotFoundError(Code.PLUGIN, message, (f"mend or remove {entry.distribution}",))
    if isinstance(became[0], BaseException):
        raise became[0]
    cls: type = became[0]
    return cls
