"""Specs read with the components that are installed here."""

from collections.abc import Sequence
from pathlib import Path

from stlm.registry.manager import Registry, installed
from stlm.spec.load import Spec, load_file, load_text


def load_spec(path: str | Path, overrides: Sequence[str] = (), *, registry: Registry | None = None) -> Spec:
    """Read and resolve a spec file, or a run's folder, with overrides such as ``model.hidden_dim=256``.

    Raises `stlm.SpecError`, whose ``diagnostics`` hold every mistake.
    """
    return load_file(path, overrides, registry or installed())


def parse_spec(text: str, overrides: Sequence[str] = (), *, registry: Registry | None = None) -> Spec:
    """Read and resolve a spec from YAML text; raises `stlm.SpecError`."""
    return load_text(text, overrides, registry or installed())
