"""What a declaration reads: the keys that its rules, derived defaults, provisions and blocks name."""

from collections.abc import Iterator

from stlm.spec.declaration import Block, Choice, Declaration, Derived, Option, declaration_of
from stlm.spec.sections import SpecSections
from stlm.spec.suggest import nearest
from stlm.testing.checking import check, hold, no_promise
from stlm.testing.subject import Subject

DEEPEST = 6
"""Mappings within each other: a part may hold another of its kind, and that one again."""


@check("reads-keys")
def reads_keys(subject: Subject) -> None:
    """Its rules, derived defaults and provisions name keys that some spec has; one that reads another never runs.

    So do the defaults that its blocks give: one that is for no key there is never taken.
    """
    declaration = declaration_of(subject.cls)
    named, given = list(_named(declaration)), list(_given(declaration))
    if not named and not given:
        no_promise("it has no rule, derived default or provision, and no block of it gives defaults")
    paths, mappings = _paths(subject)
    for inside, key in given:
        there = {_at(_at(mapping, inside), key) for mapping in mappings}
        known = {path.rpartition(".")[2] for path in paths if path.rpartition(".")[0] in _inner(mappings, inside)}
        hint = "".join(f"; {one}" for one in nearest(key, sorted(known)))
        hold(there & paths, f"the block `{inside}` gives a default to `{key}`, which nothing in it has{hint}")
    for who, does, key in named:
        there = key in paths if "." in key else any(_at(mapping, key) in paths for mapping in mappings)
        hold(there, f"{who} {does} `{key}`, which no spec has{'' if '.' in key else ' there'}{_hint(subject, key)}")


def _named(declaration: Declaration) -> Iterator[tuple[str, str, str]]:
    """Yield who names a key, what is done with it, and the key."""
    for rule in declaration.rules:
        yield from ((f"the rule `{rule.name}`", "reads", key) for key in rule.keys)
    for slot in declaration.slots.values():
        if isinstance(slot, Option) and isinstance(slot.default, Derived):
            yield from ((f"the default of `{slot.key}`", "reads", key) for key in slot.default.sources)
    for one in declaration.provisions:
        yield f"`{one.compute.__name__}`", "provides", one.path
        yield from ((f"`{one.compute.__name__}`", "reads", key) for key in one.sources)


def _given(declaration: Declaration) -> Iterator[tuple[str, str]]:
    """Yield the key of each block that gives defaults, with every key that it gives one to."""
    for slot in declaration.slots.values():
        if isinstance(slot, Block):
            yield from ((slot.key, key) for key in slot.defaults)


def _inner(mappings: set[str], key: str) -> set[str]:
    return {_at(mapping, key) for mapping in mappings}


def _paths(subject: Subject) -> tuple[set[str], set[str]]:
    """The paths of all values that any spec can have, and of the mappings that the component can stand in.

    What no spec chooses has its own keys alone.
    """
    paths: set[str] = set()
    seen: set[tuple[type, str]] = set()
    start = SpecSections if subject.home is not None else subject.cls
    _walk(subject, start, "", paths, seen)
    return paths, {mapping for cls, mapping in seen if cls is subject.cls}


def _walk(subject: Subject, cls: type, mapping: str, paths: set[str], seen: set[tuple[type, str]]) -> None:
    """Add what a class and those that can be chosen in it declare, in the mapping at a path."""
    if (cls, mapping) in seen or mapping.count(".") > DEEPEST:
        return
    seen.add((cls, mapping))
    for slot in declaration_of(cls).slots.values():
        path, inside, kind = _at(mapping, slot.key), mapping, None
        if isinstance(slot, Block):
            inside, kind = path, slot.kind
            if slot.section is not None:
                _walk(subject, slot.section, path, paths, seen)
            else:
                paths.add(_at(path, str(slot.type_key)))
        elif isinstance(slot, Choice):
            kind = slot.kind
            if not slot.many:  # a list of names is no value that can be read
                paths.add(path)
            if slot.listed is not None:
                _walk(subject, slot.listed.member, f"{path}.0", paths, seen)
        else:
            paths.add(path)
        for one in subject.bench.registry.all_of(kind) if kind is not None else ():
            _walk(subject, one.cls, inside, paths, seen)


def _at(mapping: str, key: str) -> str:
    return f"{mapping}.{key}" if mapping else key


def _hint(subject: Subject, key: str) -> str:
    """Name the key that was probably meant: of the same name further out in a spec, else of nearly the same."""
    paths, mappings = _paths(subject)
    if "." in key:
        return "".join(f"; {one}" for one in nearest(key, sorted(paths)))
    outer = {mapping[: mapping.find(".")] for mapping in mappings if "." in mapping}
    same = sorted(_at(mapping, key) for mapping in outer if _at(mapping, key) in paths)
    own = sorted(slot.key for slot in declaration_of(subject.cls).slots.values())
    hint = (f"did you mean `{same[0]}`?",) if same else nearest(key, own)
    return "".join(f"; {one}" for one in hint)
