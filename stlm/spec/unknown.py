"""What to say of a key that nothing in force declares: whose it would be, where it belongs, what it was meant to be."""

import re
from collections.abc import Iterator

import attrs

from stlm.spec.components import Components, Found
from stlm.spec.declaration import Choice, declaration_of
from stlm.spec.reading import Entry, Scalar
from stlm.spec.scope import Part, Scope
from stlm.spec.suggest import nearest_names

_OTHER_NAMES = re.compile(r"(?:Also called|In place of) ((?:`\w+`(?:, | or )?)+)")
"""How an option's doc says what others call it, or what they have instead: "Also called `learning_rate`."."""


@attrs.frozen
class Verdict:
    """The message and help of an unknown key, and the keys that it was probably meant to be."""

    message: str
    help: tuple[str, ...]
    meant: tuple[str, ...] = ()


def explain_unknown(key: str, scope: Scope, root: Scope, components: Components) -> Verdict | None:
    """Judge an unknown key; None where the component that may own it has already been reported as not found."""
    part = scope.speaker
    if part is None:
        return _misspelled_type_key(key, scope, components)
    choices = list(_choices(scope))
    elsewhere = _called_so(key, scope, root)
    close = [name for name in elsewhere if scope.allows(name)] if elsewhere else nearest_names(key, scope.keys())
    for kind in scope.unresolved:
        if any(declares(found, key) for found in components.all_of(kind)):
            return None
    help_lines = [f"did you mean `{name}`? {doc}" for name, doc in elsewhere.items()]
    help_lines = help_lines or [f"did you mean `{c}`?" for c in close] or _speaking_of(key, scope)
    owner = _unchosen_owner(key, choices, components)
    if owner is not None:
        type_key, found, chose = owner
        message = f"`{key}` belongs to {type_key}: {found.selector}; this spec chose {chose}"
        return Verdict(message, ())
    for other in root.walk():
        if other is not scope and other.allows(key):
            where = other.path or "the top level"
            help_lines.append(f"`{key}` belongs in `{where}`")
            break
    who = f"{part.found.kind} `{part.found.selector}` has no option" if part.found else f"{part.title} has no key"
    if part.found:
        help_lines.append(f"`stlm plugins show {part.found.kind} {part.found.selector}` lists what it takes")
    elif not close and not elsewhere:
        shown = sorted(scope.keys())
        help_lines.append(f"allowed: {', '.join(f'`{k}`' for k in shown)}")
    return Verdict(f"{who} `{key}`", tuple(help_lines), tuple(close))


def _called_so(key: str, scope: Scope, root: Scope) -> dict[str, str]:
    """Find what others call so, by the docs of options: their keys in this mapping, or else their paths in the spec."""
    for places, whole_path in (((scope,), False), (tuple(root.walk()), True)):
        found = {
            place.at(slot.key) if whole_path else slot.key: slot.doc
            for place in places
            for _, _, slot in place.slots()
            if any(f"`{key}`" in names for names in _OTHER_NAMES.findall(slot.doc))
        }
        if found:
            return found
    return {}


def _speaking_of(key: str, scope: Scope) -> list[str]:
    """Find the options whose docs speak of a key as the field calls it (``learning_rate``: `lr`)."""
    words = key.replace("_", " ").lower()
    if len(words) < 4:
        return []
    found = {s.key: s.doc for _, _, s in scope.slots() if words in s.doc.lower()}
    return [f"did you mean `{k}`? {doc}" for k, doc in list(found.items())[:3]]


def _misspelled_type_key(key: str, scope: Scope, components: Components) -> Verdict | None:
    """Judge a key of a mapping whose type key is missing: either it was meant to be that one, or nothing is known."""
    (type_key,) = scope.type_keys
    entry = scope.entry(key)
    if scope.entry(type_key) is not None or entry is None:
        return None
    names_one = any(
        isinstance(entry.value, Scalar) and entry.value.value in components.names(k) for k in scope.unresolved
    )
    if not names_one and not nearest_names(key, (type_key,), cutoff=0.8):
        return None
    return Verdict(f"section `{scope.path}` has no key `{key}`", (f"did you mean `{type_key}`?",), (type_key,))


def misspelled_choices(scope: Scope, strangers: list[Entry]) -> set[str]:
    """The kinds whose type key one of the unknown keys was meant to be, so that what they chose is not known."""
    absent = {s.key: s.kind for _, _, s in scope.slots() if isinstance(s, Choice) and scope.entry(s.key) is None}
    return {absent[name] for entry in strangers for name in nearest_names(entry.key, scope.keys()) if name in absent}


def declares(found: Found, key: str) -> bool:
    """Whether a component declares a key in the mapping that chooses it."""
    return declaration_of(found.cls).by_key(key) is not None


def _choices(scope: Scope) -> Iterator[tuple[str, str, str]]:
    """Yield (type key, kind, what was chosen) of each choice in force in a scope, its own type key included."""
    for type_key, selector in scope.type_keys.items():
        if selector is not None and scope.root is not None and scope.root.found is not None:
            yield type_key, scope.root.found.kind, selector
    for part, field, slot in scope.slots():
        if isinstance(slot, Choice):
            yield slot.key, slot.kind, _chosen(part, field) or "none of them"


def _chosen(part: Part, field: str) -> str:
    if field in part.members:
        return "a list, each member of which has options of its own"
    return ", ".join(p.found.selector for p in part.chosen.get(field, ()) if p.found)


def _unchosen_owner(
    key: str, choices: list[tuple[str, str, str]], components: Components
) -> tuple[str, Found, str] | None:
    for type_key, kind, chose in choices:
        for found in components.all_of(kind):
            if declares(found, key):
                return type_key, found, chose
    return None
