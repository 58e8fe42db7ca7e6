"""What is wrong with a class that an entry point registers: checked when it is first loaded, not when it is called."""

import inspect
from typing import Any

from stlm.registry.component import identity_of
from stlm.registry.discovery import Entry
from stlm.registry.hookspecs import moments, moments_of
from stlm.registry.kinds import KINDS, Kind
from stlm.spec.declaration import Option, declaration_of
from stlm.spec.structure import can_structure
from stlm.spec.suggest import nearest, nearest_names

_ANY_KIND = Kind("", "", takes=None, needs={"build": "how it is built"})


def check_component(cls: Any, entry: Entry) -> list[str]:
    """List what is wrong with a class: its kind, name, options, `build`, acts and hooks; empty where nothing is."""
    identity = identity_of(cls) if isinstance(cls, type) else None
    if identity is None:
        return ["it is not a class under @component"]
    faults = []
    if identity.kind != entry.kind:
        faults.append(f"the class says kind {identity.kind}, the entry point {entry.kind}")
    if identity.is_family != entry.is_family or (entry.is_family and identity.name != entry.name):
        faults.append(f"the class says name {identity.name}, the entry point {entry.name}")
    kind = KINDS.get(entry.kind, _ANY_KIND)
    return [*faults, *_act_faults(cls, kind, entry.kind), *_option_faults(cls, kind), *hook_faults(cls)]


def _option_faults(cls: type, kind: Kind) -> list[str]:
    faults = []
    declaration = declaration_of(cls)
    for field, slot in declaration.slots.items():
        if slot.key == kind.type_key:
            faults.append(f"the option `{slot.key}` has the name of the key that chooses the {kind.name}")
        if not slot.doc.strip():
            faults.append(f"the option `{slot.key}` has no doc")
        if isinstance(slot, Option) and not can_structure(declaration.types[field]):
            faults.append(f"the option `{slot.key}` has a type that no spec can say: {declaration.types[field]}")
    return faults


def _act_faults(cls: type, kind: Kind, name: str) -> list[str]:
    faults = []
    if kind.takes is not None:
        faults.extend(_build_faults(cls, kind, name))
    for need in kind.needs:
        if not hasattr(cls, need):
            faults.append(f"a component of kind {name} has `{need}` ({kind.needs[need]}), this one has not")
    lacking = [act for act in kind.together if not hasattr(cls, act)]
    if 0 < len(lacking) < len(kind.together):
        there = ", ".join(f"`{act}`" for act in kind.together if act not in lacking)
        faults.append(f"it has {there}, which is of no use without {', '.join(f'`{act}`' for act in lacking)}")
    known = {*kind.needs, *kind.may, "build", "selector", "member"}
    own = {n for base in cls.__mro__[:-1] for n in vars(base) if not n.startswith("_")}
    for public in sorted(own - known - set(declaration_of(cls).slots)):
        for meant in nearest_names(public, known, cutoff=0.85):
            if not hasattr(cls, meant):
                faults.append(f"it has `{public}`, which stlm does not ask for; did you mean `{meant}`?")
    return faults


def _build_faults(cls: type, kind: Kind, name: str) -> list[str]:
    """Check that `build` can be called as it will be."""
    assert kind.takes is not None
    wanted = f"build({', '.join(('self', *kind.takes))})"
    build = getattr(cls, "build", None)
    if not callable(build):
        return [f"a component of kind {name} has `{wanted}`, this one has no `build`"]
    split = kind.takes.index("*") if "*" in kind.takes else len(kind.takes)
    try:
        inspect.signature(build).bind(None, *kind.takes[:split], **dict.fromkeys(kind.takes[split + 1 :]))
    except TypeError as error:
        return [f"it is built by `{wanted}`, which its `build` does not take: {error}"]
    more = set(inspect.signature(build).parameters) - {*kind.takes, *kind.offers}
    meant = {extra: nearest_names(extra, kind.offers, cutoff=0.7) for extra in sorted(more)}
    return [
        f"its `build` has `{extra}`, which it is never given; did you mean `{names[0]}`?"
        for extra, names in meant.items()
        if names
    ]


def hook_faults(cls: type) -> list[str]:
    """List hook methods that no moment of a run calls, or that ask for an argument which the moment does not have."""
    faults = []
    for name, act in moments_of(cls).items():
        moment = moments().get(name)
        if moment is None:
            faults.append(" ".join((f"there is no hook `{name}`", *nearest(name, moments()))))
            continue
        extra = set(inspect.signature(act).parameters) - set(inspect.signature(moment).parameters)
        if extra:
            faults.append(f"the hook `{name}` has no argument {', '.join(f'`{e}`' for e in sorted(extra))}")
    return faults
