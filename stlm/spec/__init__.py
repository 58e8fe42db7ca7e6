"""The language: YAML text to a frozen, total Spec, with every mistake placed. It knows no component."""

from stlm.spec.diagnostics import Code, Diagnostic, Place
from stlm.spec.errors import SpecError, StlmError, UsageError, WorkError
from stlm.spec.load import Spec, load_file, load_text, mistake

__all__ = [
    "Code",
    "Diagnostic",
    "Place",
    "Spec",
    "SpecError",
    "StlmError",
    "UsageError",
    "WorkError",
    "load_file",
    "load_text",
    "mistake",
]
