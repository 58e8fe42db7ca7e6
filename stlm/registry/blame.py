"""Whose fault it is where a component cannot be built: a diagnostic at the key that chose it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stlm.registry.component import culprit_of, identity_of
from stlm.registry.manager import Registry
from stlm.spec import Code, Spec, SpecError, StlmError, UsageError, WorkError, mistake
from stlm.spec.canonical import components_of


@contextmanager
def blaming_component(component: Any, registry: Registry) -> Iterator[None]:
    """Turn what a component's act raises inside the block into a `WorkError` that names it and its package.

    Errors that are meant for a user pass through.
    """
    try:
        yield
    except StlmError:
        raise
    except Exception as error:
        identity = identity_of(type(component))
        assert identity is not None
        plugin = registry.find(identity.kind, component.selector).plugin
        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise WorkError(f"{identity.kind} `{component.selector}` of {plugin} failed: {text}") from error


@contextmanager
def blaming(spec: Spec, registry: Registry) -> Iterator[None]:
    """Turn what a component's `build` raises inside the block into a `SpecError` that names it and its package.

    A user's mistake that it found (`UsageError`: a folder that is not there) gets its place, or that of the key which
    the error names: a whole path, or an option's name alone, which lies beside the key that chose the component. What
    no component's `build` raised passes through, and so do failures of the work; one of the operating system (a full
    disk) becomes a `WorkError` that names the component.
    """
    try:
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
        plugin = registry.find(identity.kind, culprit.selector).plugin
        text = " ".join(str(error).split())[:300] or "no reason given"
        who = f"{identity.kind} `{culprit.selector}` of {plugin}"
        if isinstance(error, OSError):
            where = f"`{error.filename}`: " if error.filename else ""
            raise WorkError(f"{who} cannot be built: {where}{error.strerror or text}") from error
        message = f"{who} cannot be built: {type(error).__name__}: {text}"
        raise mistake(spec, path, Code.RULE if plugin == "stlm" else Code.PLUGIN, message) from error
