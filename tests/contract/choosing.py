"""What is installed, and what a spec must say to choose it: from the registry and the declarations, never by name."""

import tomllib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from stlm.registry import identity_of
from stlm.registry.manager import Registry
from stlm.spec import WorkError
from stlm.spec.canonical import components_of
from stlm.spec.declaration import REQUIRED, Block, Choice, Declaration, Option, declaration_of
from stlm.spec.errors import UsageError
from tests.contract.conftest import PACKAGES
from tests.spec.drawing import WORDS


def components(kinds: Collection[str]) -> list[tuple[str, str]]:
    """List kind and name of what is installed, and of what the packages here will bring; families with their star."""
    found = {(entry.kind, entry.name) for entry in Registry().entries()}
    for project in PACKAGES.glob("*/pyproject.toml"):
        points = tomllib.loads(project.read_text())["project"]["entry-points"]["stlm"]
        found |= {tuple(name.split(".", 1)) for name in points}  # type: ignore[misc]
    return sorted((kind, name) for kind, name in found if kind in kinds)


def type_keys(declaration: Declaration, found: dict[str, str] | None = None) -> dict[str, str]:
    """Find the key at which a spec chooses a component of each kind: here, then in what can be chosen here."""
    found = {} if found is None else found
    for slot in declaration.slots.values():
        if isinstance(slot, Option) or slot.kind in found:
            continue
        if isinstance(slot, Block) and slot.section is not None:
            type_keys(declaration_of(slot.section), found)
            continue
        found[str(slot.kind)] = str(slot.type_key) if isinstance(slot, Block) else slot.key
        for one in Registry().all_of(str(slot.kind)):
            type_keys(declaration_of(one.cls), found)
    return found


def required(registry: Registry, cls: type, bases: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """Say something small for every key that a component requires. Raises `LookupError` where that needs a file.

    ``bases`` are what to say for a block of each kind.
    """
    declaration, bases = declaration_of(cls), bases or {}
    said: dict[str, Any] = {}
    for field, slot in declaration.slots.items():
        if isinstance(slot, Option) and slot.default is REQUIRED:
            small = {int: (2, 4), float: (0.5, 1.0), bool: (False,)}.get(declaration.types[field], ())
            fitting = [value for value in small if all(check.holds(value) for check in slot.checks)]
            if not fitting:
                raise LookupError(f"`{slot.key}` needs something from outside")
            said[slot.key] = fitting[0]
        elif isinstance(slot, Block) and slot.required and slot.kind in bases:
            said[slot.key] = bases[str(slot.kind)]
        elif isinstance(slot, Choice) and slot.default is REQUIRED and not slot.many:
            said[slot.key] = next(name for name in registry.names(slot.kind) if not name.endswith("*"))
    return said


def member_of(registry: Registry, kind: str, name: str, text: Path) -> str:
    """Give a name that chooses a component; that of a family is found by trying words, the path of a text among them.

    Raises `LookupError` where the family takes none of them.
    """
    if not name.endswith("*"):
        return name
    entry = next(entry for entry in registry.entries(kind) if entry.name == name)
    accepts = getattr(registry.load(entry), "accepts", lambda name: True)
    for word in (str(text), "count_by_3", *WORDS):
        if word and accepts(name[:-1] + word):
            return name[:-1] + word
    raise LookupError(f"no word that was tried is one of {kind} `{name}`")


def held_by(section: Any, kind: str) -> Any:
    """Find the first component of a kind that a section of a spec chose."""
    return next(held for _, held in components_of(section) if identity_of(type(held)).kind == kind)  # type: ignore[union-attr]


def or_skip(make: Callable[..., Any], *arguments: Any) -> Any:
    """Make something of a component; skip the test where that needs files that are not at hand."""
    try:
        return make(*arguments)
    except (LookupError, UsageError, WorkError) as error:
        pytest.skip(str(error))
