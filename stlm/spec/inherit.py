"""One mapping changed by another: what ``extends`` and ``--set`` do.

A mapping merges, a list or a scalar replaces. Where a type key changes (``ffn_type: silu_ffn`` over ``generic``), the
options of the component that was replaced go with it, and an option that the new one also declares stays.
"""

from stlm.spec.components import Components
from stlm.spec.declaration import Block
from stlm.spec.diagnostics import Place
from stlm.spec.reading import Entry, Mapping
from stlm.spec.scope import Opener, Scope
from stlm.spec.sections import SpecSections


def inherit(parent: Mapping, child: Mapping, components: Components) -> Mapping:
    """Return ``parent`` as changed by ``child``; both are whole specs."""
    return without_replaced(parent, merge(parent, child), child, components)


def without_replaced(before: Mapping, after: Mapping, said: Mapping, components: Components) -> Mapping:
    """Return ``after`` without the options of components that only ``before`` chose, unless they are ``said``.

    While a component that is chosen now is not known, nothing is dropped: what remains may be its option.
    """
    return _prune(after, said, _open(before, components), _open(after, components))


def merge(parent: Mapping, child: Mapping) -> Mapping:
    """Return what both say, and where both say a key, what ``child`` says; mappings are merged."""
    entries = dict(parent.entries)
    for key, entry in child.entries.items():
        old = entries.get(key)
        if old is not None and isinstance(old.value, Mapping) and isinstance(entry.value, Mapping):
            entries[key] = Entry(key, entry.place, merge(old.value, entry.value))
        else:
            entries[key] = entry
    return Mapping(entries, child.place)


def _open(root: Mapping, components: Components) -> Scope:
    """See which components a document chooses; what is wrong with it is reported later, on the whole."""
    opener = Opener(components, lambda *_: None)
    return opener.open(Block("", "", section=SpecSections), "", Place("", 1, 1), root)


def _prune(merged: Mapping, child: Mapping, before: Scope, after: Scope) -> Mapping:
    """Drop what only replaced components declare, and what the child did not say itself."""
    chosen = {part.declaration.cls for part in after.parts}
    gone = {
        slot.key
        for part, _, slot in before.slots()
        if part.found is not None and part.declaration.cls not in chosen and not after.unresolved
    } - after.keys()
    inner_before = _blocks(before)
    entries: dict[str, Entry] = {}
    for key, entry in merged.entries.items():
        said = child.get(key)
        if key in gone and said is None:
            continue
        value = entry.value
        for inner in _blocks(after).get(key, ()):
            if isinstance(value, Mapping) and said is not None and isinstance(said.value, Mapping):
                for old in inner_before.get(key, ()):
                    value = _prune(value, said.value, old, inner) if isinstance(value, Mapping) else value
        entries[key] = Entry(key, entry.place, value)
    return Mapping(entries, merged.place)


def _blocks(scope: Scope) -> dict[str, list[Scope]]:
    found: dict[str, list[Scope]] = {}
    for part, name, slot in scope.slots():
        if isinstance(slot, Block) and name in part.blocks:
            found.setdefault(slot.key, []).append(part.blocks[name])
    return found
