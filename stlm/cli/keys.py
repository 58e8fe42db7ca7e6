"""The keys that `--set` may change, with what some of them may say: for a shell that is asked to go on with a word."""

import contextlib
import re
import typing
from collections.abc import Iterator
from typing import Any, Literal

import attrs

from stlm.cli.shipped import folder
from stlm.registry.loading import load_spec
from stlm.registry.manager import installed
from stlm.spec.components import NotFoundError
from stlm.spec.declaration import Block, Choice, Slot, declaration_of
from stlm.spec.errors import StlmError
from stlm.spec.structure import as_text


def keys_of_spec(path: str | None) -> dict[str, list[str]]:
    """The keys of a spec, each with its values where they can be listed; the quick start's where it cannot be read."""
    for one in (path, *folder().glob("quickstart.yaml")):
        with contextlib.suppress(StlmError, OSError):
            if one is not None:
                return dict(_keys(load_spec(one).sections, ""))
    return {}


def keys_of_component(kind: str | None, name: str | None) -> dict[str, list[str]]:
    """The options of a component; none where there is no such component."""
    try:
        declaration = declaration_of(installed().find(str(kind), str(name)).cls)
    except NotFoundError:
        return {}
    return {slot.key: _values(slot, declaration.types[field]) for field, slot in declaration.slots.items()}


def _keys(held: Any, before: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the keys of the mapping that an object lies in, and of those within it."""
    declaration = declaration_of(type(held))
    for field, slot in declaration.slots.items():
        value = getattr(held, field)
        inside = f"{before}{slot.key}."
        if not isinstance(slot, Block):
            yield f"{before}{slot.key}", _values(slot, declaration.types[field], value)
        elif slot.type_key is not None and value is not None:
            yield f"{inside}{slot.type_key}", installed().names(str(slot.kind))
        if not isinstance(slot, Block | Choice):
            continue
        for one in value if isinstance(value, tuple) else (value,):
            if attrs.has(type(one)):
                yield from _keys(one, inside if isinstance(slot, Block) else before)


def _values(slot: Slot, wanted: Any, held: Any = None) -> list[str]:
    """What a key may say; where that cannot be listed, what it says."""
    if isinstance(slot, Choice):
        named = [name for name in installed().names(slot.kind) if not name.endswith("*")]
        return [f"[{name}]" for name in named] if slot.many else named
    if isinstance(slot, Block):
        return []
    told: list[str] = []
    for member in (wanted,) if typing.get_origin(wanted) in (None, Literal) else typing.get_args(wanted):
        told += ["true", "false"] if member is bool else []
        told += map(as_text, typing.get_args(member)) if typing.get_origin(member) is Literal else ()
    return told or [text for text in (as_text(held),) if held is not None and re.fullmatch(r"[\w.+-]+", text)]
