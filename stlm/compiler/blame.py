"""Whose fault it is where a component cannot be built: a diagnostic at the key that chose it."""

from collections.abc import Iterator
from contextlib import contextmanager

from stlm.registry.component import culprit_of, identity_of
from stlm.registry.manager import Registry
from stlm.spec import Code, Spec, SpecError, StlmError, UsageError, WorkError, mistake
from stlm.spec.canonical import components_of


@contextmanager
def blaming(spec: Spec, registry: Registry) -> Iterator[None]:
    """Turn what a component's `build` raises inside the block into a `SpecError` that names it and its package.

    A user's mistake that it found (`UsageError`: a folder that is not there) gets its place, or that of the key which
    the error names. What no component's `build` raised passes through, and so do failures of the work.
    """
    try:
        yield
    except (SpecError, WorkError):
        raise
    except Exception as error:
        if isinstance(error, UsageError) and error.key is not None:
            raise mistake(spec, error.key, Code.RULE, str(error)) from error
        culprit = culprit_of(error)
        identity = identity_of(type(culprit))
        if identity is None:
            raise
        path = next((p for p, held in components_of(spec.sections) if held is culprit), "model")
        if isinstance(error, StlmError):
            raise mistake(spec, path, Code.RULE, str(error)) from error
        plugin = registry.find(identity.kind, culprit.selector).plugin
        text = " ".join(str(error).split())[:300] or "no reason given"
        who = f"{identity.kind} `{culprit.selector}` of {plugin}"
        message = f"{who} cannot be built: {type(error).__name__}: {text}"
        raise mistake(spec, path, Code.RULE if plugin == "stlm" else Code.PLUGIN, message) from error
