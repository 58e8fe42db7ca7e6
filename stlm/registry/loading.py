"""Specs, and single components, read with the components that are installed here."""

import os
from collections.abc import Mapping as Options
from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any

from stlm.registry.blame import blaming
from stlm.registry.manager import installed
from stlm.spec.components import Components
from stlm.spec.declaration import Block
from stlm.spec.diagnostics import Code, Place
from stlm.spec.errors import SpecError, UsageError
from stlm.spec.load import Spec, load_file, load_text, mistake
from stlm.spec.reading import Entry, Mapping
from stlm.spec.resolve import Resolver
from stlm.spec.structure import node_of


def load_spec(path: str | Path, overrides: Many[str] = (), *, registry: Components | None = None) -> Spec:
    """Read and resolve a spec file, or a run's folder, with overrides such as ``model.hidden_dim=256``.

    Raises `stlm.SpecError`, whose ``diagnostics`` hold every mistake.
    """
    if not isinstance(path, str | os.PathLike):
        kind = type(path).__name__
        raise UsageError(f"a spec is read from a file: `load_spec` takes its path, not a {kind}; write the spec there")
    if isinstance(overrides, str):
        raise UsageError(f"overrides are a list: write `load_spec({str(path)!r}, [{overrides!r}])`")
    return load_file(path, overrides, registry or installed())


def parse_spec(text: str, overrides: Many[str] = (), *, registry: Components | None = None) -> Spec:
    """Read and resolve a spec from YAML text; raises `stlm.SpecError`."""
    return load_text(text, overrides, registry or installed())


def make_component(
    kind: str, name: str, options: Options[str, Any] | None = None, *, registry: Components | None = None
) -> Any:
    """Make one component by name, with the types, defaults and rules that a spec would hold it to.

    A mistake in an option is placed as ``--option``; raises `stlm.SpecError`.
    """
    nodes = {kind: name, **(options or {})}
    places = {key: _place(key, value) for key, value in nodes.items()}
    entries = {key: Entry(key, places[key], node_of(value, places[key])) for key, value in nodes.items()}
    place = _place(kind, name)
    resolver = Resolver(registry or installed(), Mapping(entries, place), place, Block("", "", kind, kind))
    made, _ = resolver.run()
    if made is None:
        raise SpecError(resolver.diagnostics)
    return made


def load_tokenizer(spec: Spec) -> Any:
    """Load the tokenizer of a spec, or train it; raises `WorkError` where its files cannot be had."""
    declared = spec.model.tokenizer
    with blaming(spec):
        made = declared.build(spec)
    if made.vocab_size != declared.vocab_size:
        message = f"the tokenizer that was loaded has {made.vocab_size} tokens, the spec promises {declared.vocab_size}"
        raise mistake(spec, "model.tokenizer_type", Code.RULE, message)
    return made


def _place(key: str, value: Any) -> Place:
    flag = "--" + key.replace("_", "-")
    text = f"{flag} {value}"
    return Place(flag, 1, len(flag) + 2, max(1, len(text) - len(flag) - 1), text)
