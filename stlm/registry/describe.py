"""What is installed and what it takes, as plain values: the source of listings, reference pages and messages."""

import inspect
import json
from typing import Any

from stlm.registry.component import identity_of
from stlm.registry.discovery import Entry, how_disabled, package_of
from stlm.registry.kinds import KINDS
from stlm.registry.manager import Registry, installed
from stlm.spec.components import Found, NotFoundError
from stlm.spec.declaration import REQUIRED, Block, Choice, Derived, Slot, declaration_of
from stlm.spec.errors import UsageError
from stlm.spec.scope import listing_words
from stlm.spec.structure import as_text, type_words
from stlm.spec.suggest import nearest, nearest_names


def listing(kind: str | None = None, registry: Registry | None = None) -> list[dict[str, Any]]:
    """List components, each once with its aliases; one that cannot be loaded is listed with the reason.

    Raises `UsageError` for a kind that there is not.
    """
    registry = registry or installed()
    kinds = sorted({*KINDS, *registry.installed.kinds()})
    if kind is not None and kind not in kinds:
        hint = "; ".join((*nearest(kind, kinds), "kinds: " + ", ".join(kinds)))
        raise UsageError(f"there is no kind `{kind}`; {hint}")
    rows: list[dict[str, Any]] = []
    by_class: dict[tuple[str, str, str], dict[str, Any]] = {}
    for entry in registry.entries(kind):
        name, doc = _name_and_doc(entry, registry)
        known = by_class.get((entry.kind, entry.target, entry.distribution))
        if known is not None:
            known["aliases"] = sorted({*known["aliases"], entry.name} - {known["name"]})
            continue
        aliases = [entry.name] if entry.name != name else []
        row = {
            "kind": entry.kind,
            "name": name,
            "aliases": aliases,
            "plugin": entry.distribution,
            "version": entry.version,
            "doc": doc,
        }
        by_class[entry.kind, entry.target, entry.distribution] = row
        rows.append(row)
    return sorted(rows, key=lambda r: (r["kind"], r["name"], r["plugin"]))


def _name_and_doc(entry: Entry, registry: Registry) -> tuple[str, str]:
    try:
        cls = registry.load_with_patience(entry)
    except NotFoundError as error:
        return entry.name, f"cannot be used: {error.message}"
    identity = identity_of(cls)
    assert identity is not None
    return identity.name, declaration_of(cls).doc


def remarks(registry: Registry | None = None) -> list[str]:
    """Say in lines what is installed but in no listing: what is disabled, and entries that mean nothing."""
    registry = registry or installed()
    off: dict[str, list[str]] = {}
    for names in registry.installed.disabled.values():
        for entry in (entry for entries in names.values() for entry in entries):
            off.setdefault(f"{entry.distribution} {entry.version}", []).append(f"{entry.kind}.{entry.name}")
    how = how_disabled()
    lines = [f"disabled by {how}: {package} ({', '.join(sorted(names))})" for package, names in sorted(off.items())]
    lines += [f"the entry points of {name} cannot be read" for name in registry.installed.unreadable]
    for point in registry.installed.malformed:
        lines.append(f"{package_of(point)} has an entry `{point.name}` that means nothing: an entry is KIND.NAME")
    for entry in registry.entries():
        if entry.kind not in KINDS and (near := nearest_names(entry.kind, KINDS)):
            lines.append(f"{entry.distribution} has an entry of a kind `{entry.kind}`; did it mean `{near[0]}`?")
    return lines


def find_kind(name: str, registry: Registry | None = None) -> str:
    """Return the one kind that has a component of this name. Raises `UsageError` where none has, or several have."""
    registry = registry or installed()
    kinds = [kind for kind in registry.installed.kinds() if name in registry.names(kind)]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        raise UsageError(f"several kinds have a `{name}`: {', '.join(kinds)}; name one of them before it")
    if name in KINDS:
        raise UsageError(f"`{name}` is a kind; name a component after it: {registry.allowed(name)}")
    everything = sorted({n for kind in registry.installed.kinds() for n in registry.names(kind)})
    raise UsageError("; ".join((f"there is no component `{name}`", *nearest(name, everything))))


def describe_component(kind: str, name: str, registry: Registry | None = None) -> dict[str, Any]:
    """Describe one component, or a family by its ``prefix*``. Raises `UsageError` where there is none."""
    registry = registry or installed()
    return describe(found_as(kind, name, registry), registry)


def found_as(kind: str, name: str, registry: Registry) -> Found:
    """Find one component, or a family by its ``prefix*``. Raises `UsageError` where there is none."""
    families = (found for found in registry.all_of(kind) if found.selector == name) if name.endswith("*") else ()
    try:
        return next(iter(families), None) or registry.find(kind, name)
    except NotFoundError as error:
        raise UsageError("; ".join((error.message, *error.help))) from None


def describe(found: Found, registry: Registry) -> dict[str, Any]:
    """Describe a component: its options with types, defaults and docs, its rules, its file and who brought it."""
    declaration = declaration_of(found.cls)
    return {
        "kind": found.kind,
        "name": found.selector,
        "plugin": found.plugin,
        "version": found.source.version if found.source else "unknown",
        "doc": inspect.cleandoc(found.cls.__doc__ or ""),
        "file": inspect.getsourcefile(found.cls) or "unknown",
        "options": [
            describe_slot(slot, declaration.types[field], registry) for field, slot in declaration.slots.items()
        ],
        "rules": [{"keys": list(rule.keys), "says": rule.doc} for rule in declaration.rules],
        "provides": [{"path": p.path, "says": p.says} for p in declaration.provisions],
    }


def describe_slot(slot: Slot, wanted: Any, registry: Registry) -> dict[str, Any]:
    """Describe one key: what it takes in words, whether it is required, its default and its doc."""
    if isinstance(slot, Choice):
        takes = f"{'names' if slot.many else 'the name'} of kind {slot.kind}: {registry.allowed(slot.kind)}"
        if slot.listed is not None:
            takes += f", or a list: {listing_words(slot)}"
        default: Any = list(slot.default) if slot.many else slot.default
    elif isinstance(slot, Block):
        takes = f"a mapping, chosen by `{slot.type_key}`" if slot.type_key else "a mapping"
        default = REQUIRED if slot.required else {}
        if slot.defaults:
            said = ", ".join(f"`{key}: {as_text(value)}`" for key, value in slot.defaults.items())
            takes += f"; {said} unless it says otherwise"
    else:
        takes = ", ".join((type_words(wanted), *(check.says for check in slot.checks)))
        default = slot.default
    required = default is REQUIRED
    if isinstance(default, Derived):
        default = {"derived": default.says}
    return {
        "key": slot.key,
        "takes": takes,
        "required": required,
        "default": None if required else default,
        "doc": slot.doc,
    }


def default_words(option: dict[str, Any]) -> str:
    """Say the default of a described key: ``required``, a formula, or the value as JSON."""
    default = option["default"]
    if option["required"]:
        return "required"
    if isinstance(default, dict):
        return str(default["derived"]) if default else "all of its defaults"
    return f"`{json.dumps(default)}`"
