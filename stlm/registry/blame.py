"""Whose fault it is where a component cannot be built: a diagnostic at the key that chose it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from stlm.registry.component import culprit_of, identity_of
from stlm.spec import Code, Spec, SpecError, StlmError, UsageError, WorkError, mistake
from stlm.spec.canonical import components_of
from stlm.spec.components import Components
from stlm.spec.reasons import reason_of, typed_reason_of


@contextmanager
def blaming_component(component: Any, registry: Components) -> Iterator[None]:
    """Turn what a component's act raises inside the block into a `WorkError` that names it and its package.

    Errors that are meant for a user pass through. What it prints goes to stderr: stdout is a command's result.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except StlmError:
        raise
    except (Exception, SystemExit) as error:
        identity = identity_of(type(component))
        assert identity is not None
        plugin = registry.find(identity.kind, component.selector).plugin
        text = typed_reason_of(error)
        raise WorkError(f"{identity.kind} `{component.selector}` of {plugin} failed: {text}") from error


@contextmanager
def blaming(spec: Spec) -> Iterator[None]:
    """Turn what a component's `build` raises inside the block into a `SpecError` that names it and its package.

    A user's mistake that it found (`UsageError`: a folder that is not there) gets its place, or that of the key which
    the error names: a whole path, or an option's name alone, which lies beside the key that chose the component. What
    no component's `build` raised passes through, and so do failures of the work; one of the operating system (a full
    disk) becomes a `WorkError` that names the component. What is printed meanwhile goes to stderr.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (SpecError, WorkError):
        raise
    except Exception as error:
        culprit = culprit_of(error)
        path = next((p for p, held in components_of(spec.sections) if held is culprit), "model.")
        if isinstance(error, UsageError) and error.key is not None:
            key = error.key if "." in error.key else f"{path.rpartition('.')[0]}.{error.key}"
            raise mistake(spec, key, Code.RULE, str(error)) from error
        identity = identity_of(type(culprit))
        if identity is None:
            raise
        path = path.removesuffix(".")
        if isinstance(error, StlmError):
            raise mistake(spec, path, Code.RULE, str(error)) from error
        plugin = spec.registry.find(identity.kind, culprit.selector).plugin
        who = f"{identity.kind} `{culprit.selector}` of {plugin}"
        if isinstance(error, OSError):
            where = f"`{error.filename}`: " if error.filename else ""
            raise WorkError(f"{who} cannot be built: {where}{error.strerror or reason_of(error)}") from error
        message = f"{who} cannot be built: {typed_reason_of(error)}"
        raise mistake(spec, path, Code.RULE if plugin == "stlm" else Code.PLUGIN, message) from error
