"""The mappings of a spec, in the words of JSON Schema: keys of sections, and those of the components that they choose.

Every declaration is one definition: its own keys, and for each of its choices "if this name is written, the keys of
that component are there too". A mapping is closed by ``unevaluatedProperties``, which knows what all of these said.
What a spec that ``extends`` another leaves out may stand in its parent, so there are two forms of each definition: the
whole one, and the ``part`` that asks for no key and takes the options of every component where none is chosen. A block
that gives defaults to the keys in it has forms of its own, in whose names these defaults stand.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import attrs

from stlm.registry.manager import Registry
from stlm.registry.schema.names import Named, Names, names_of
from stlm.registry.schema.values import of_option
from stlm.spec.components import NotFoundError
from stlm.spec.declaration import REQUIRED, Block, Choice, Declaration, Derived, Option, Slot, declaration_of

Schema = dict[str, Any]


@attrs.frozen
class Form:
    """Which form of a definition is meant; ``given`` are the defaults that the block around it gives to its keys."""

    part: bool = False
    given: Mapping[str, Any] = attrs.field(factory=dict)

    def named(self, name: str) -> str:
        """Name the definition in this form."""
        said = ", ".join(f"{key}: {_default_text(value)}" for key, value in self.given.items())
        return f"{'part of ' if self.part else ''}{name}{f' with {said}' if said else ''}"

    def inside(self, slot: Block) -> "Form":
        """Give the form of what stands in a block."""
        return Form(self.part, slot.defaults)

    def default_of(self, slot: Option | Choice) -> Any:
        """Give the default of a key, where the mapping has this form."""
        return self.given.get(slot.key, slot.default)


class Definitions:
    """The definitions that a schema refers to, made when they are first asked for."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.made: dict[str, Schema] = {}
        self._names: dict[str, Names] = {}

    def section(self, cls: type, form: Form) -> Schema:
        """Refer to the keys of a section."""
        return self._refer(f"{cls.__module__}.{cls.__qualname__}", cls, form)

    def mapping(self, slot: Block, form: Form) -> Schema:
        """Say what a block holds, closed to keys that nothing declares; ``form`` is that of what stands in it."""
        if slot.section is not None:
            must = not form.part and self._asks(declaration_of(slot.section), form)
            keys = self.section(slot.section, form)
            return {"type": "object" if must else ["object", "null"], **keys, "unevaluatedProperties": False}
        choice = _type_key(slot)
        name = form.named(f"{slot.kind} by {slot.type_key}")
        if name not in self.made:
            self.made[name] = {}
            must = not form.part and self._is_required(choice, form)
            self.made[name].update(
                {
                    "type": "object",
                    "properties": {choice.key: self._choice(choice, form)},
                    **({"required": [choice.key]} if must else {}),
                    **_all_of(self._chosen(choice, form)),
                    "unevaluatedProperties": False,
                }
            )
        return _reference(name)

    def _component(self, kind: str, named: Named, form: Form) -> Schema:
        entries = self.registry.installed.entries[kind][named.entry.name]
        package = f"@{named.entry.distribution}" if len(entries) > 1 else ""
        return self._refer(f"{kind}.{named.entry.name}{package}", named.cls, form)

    def _refer(self, name: str, cls: type, form: Form) -> Schema:
        name = form.named(name)
        if name not in self.made:
            self.made[name] = {}  # a component may hold its like, as a mixture its experts
            self.made[name].update(self._keys(declaration_of(cls), form))
        return _reference(name)

    def _keys(self, declaration: Declaration, form: Form) -> Schema:
        slots = declaration.slots
        choices = [slot for slot in slots.values() if isinstance(slot, Choice)]
        beside = [one for slot in choices for one in self._chosen(slot, form)]
        required = [] if form.part else [slot.key for slot in slots.values() if self._is_required(slot, form)]
        for key in [key for key in required if key in self._provided()]:
            required.remove(key)
            beside.extend(self._unless_provided(key, choices))
        return {
            "description": declaration.doc,
            "properties": {slot.key: self._key(slot, declaration.types[f], form) for f, slot in slots.items()},
            **({"required": required} if required else {}),
            **_all_of(beside),
        }

    def _key(self, slot: Slot, wanted: Any, form: Form) -> Schema:
        if isinstance(slot, Option):
            return of_option(slot, wanted, form.default_of(slot))
        if isinstance(slot, Choice):
            return self._choice(slot, form)
        return {**self.mapping(slot, form.inside(slot)), "description": slot.doc}

    def _is_required(self, slot: Slot, form: Form) -> bool:
        """Whether a key must be written: it has no default, or is a mapping with such a key in it."""
        if not isinstance(slot, Block):
            return form.default_of(slot) is REQUIRED and not (isinstance(slot, Choice) and slot.many)
        if slot.required or slot.optional:
            return slot.required
        inside = form.inside(slot)
        if slot.section is not None:
            return self._asks(declaration_of(slot.section), inside)
        choice = _type_key(slot)
        return self._is_required(choice, inside) or any(self._asks_beside(choice, inside))

    def _asks(self, declaration: Declaration, form: Form) -> bool:
        """Whether something must be written in the mapping of a declaration, of what it chooses by default too."""
        slots = declaration.slots.values()
        if any(self._is_required(slot, form) for slot in slots if slot.key not in self._provided()):
            return True
        return any(asks for slot in slots if isinstance(slot, Choice) for asks in self._asks_beside(slot, form))

    def _asks_beside(self, slot: Choice, form: Form) -> Iterator[bool]:
        """Say of each component that a choice chooses by default whether it asks for something beside its name."""
        return (self._asks(declaration_of(cls), form) for cls in self._by_default(slot, form))

    def _by_default(self, slot: Choice, form: Form) -> set[type]:
        """Find what a choice chooses where its key is not written; whoever brings it, where several packages do."""
        found = set[type]()
        for name in _names(slot, form):
            try:
                found.add(self.registry.find(slot.kind, name).cls)
            except NotFoundError:
                components = self.names(slot.kind).components
                found |= {named.cls for named in components if any(entry.name == name for entry in named.entries)}
        return found

    # Names, and what they bring

    def names(self, kind: str) -> Names:
        """Give the names of a kind, looked up once."""
        if kind not in self._names:
            self._names[kind] = names_of(kind, self.registry)
        return self._names[kind]

    def _name(self, kind: str) -> Schema:
        name = f"name of kind {kind}"
        if name not in self.made:
            self.made[name] = self.names(kind).all()
        return _reference(name)

    def _choice(self, slot: Choice, form: Form) -> Schema:
        said: Schema = {"description": slot.doc}
        if slot.many:
            said |= {"type": "array", "items": self._name(slot.kind), "uniqueItems": True}
        elif slot.listed is not None:
            member = {"type": "object", **self.section(slot.listed.member, Form()), "unevaluatedProperties": False}
            items = {"anyOf": [self._name(slot.kind), member]}
            said |= {"anyOf": [self._name(slot.kind), {"type": "array", "items": items, "minItems": 1}]}
        else:
            said |= self._name(slot.kind)
        names = _names(slot, form)
        if slot.many:
            said["default"] = names
        elif names:
            said["default"] = names[0]
        return said

    def _chosen(self, slot: Choice, form: Form) -> list[Schema]:
        """Say which keys stand beside a type key, for each name that it may hold."""
        rich = [one for one in self.names(slot.kind).components if declaration_of(one.cls).slots]
        by_default = set() if form.part else self._by_default(slot, form)
        beside = []
        for named in rich:
            written = {} if named.cls in by_default else {"required": [slot.key]}
            chooses = {"properties": {slot.key: self._chooses(slot, named)}, **written}
            beside.append({"if": chooses, "then": self._component(slot.kind, named, form)})
        if rich:  # a name that there is not has been marked; its options are no further mistakes
            known = self._choice(slot, form)
            right = {"properties": {slot.key: {k: v for k, v in known.items() if k not in ("description", "default")}}}
            beside.append({"if": right, "else": {"additionalProperties": True}})
        if form.part and rich:
            any_of = [self._component(slot.kind, named, form) for named in rich]
            beside.append({"if": {"required": [slot.key]}, "else": {"anyOf": [*any_of, {}]}})  # {}: or one without keys
        return beside

    def _chooses(self, slot: Choice, named: Named) -> Schema:
        choosing = self.names(slot.kind).choosing(named)
        return {"type": "array", "contains": choosing} if slot.many else choosing

    # What one component provides for another

    def _provided(self) -> dict[str, list[tuple[str, Named]]]:
        """Find by key the components that may supply it, for which it need not be written."""
        found: dict[str, list[tuple[str, Named]]] = {}
        for kind in self.registry.installed.kinds():
            for named in self.names(kind).components:
                for provision in declaration_of(named.cls).provisions:
                    found.setdefault(provision.path.rpartition(".")[2], []).append((kind, named))
        return found

    def _unless_provided(self, key: str, choices: list[Choice]) -> list[Schema]:
        """Ask for a key unless one of its providers is chosen in the same mapping; elsewhere, that cannot be seen."""
        providers = self._provided()[key]
        seen = [(slot, named) for kind, named in providers for slot in choices if slot.kind == kind]
        if len({named.cls for _, named in seen}) < len({named.cls for _, named in providers}):
            return []
        any_of = [
            {"properties": {slot.key: self._chooses(slot, named)}, "required": [slot.key]} for slot, named in seen
        ]
        return [{"if": {"anyOf": any_of} if len(any_of) > 1 else any_of[0], "else": {"required": [key]}}]


def _type_key(slot: Block) -> Choice:
    """Give the choice by which a block of a kind says which component it is."""
    return Choice(str(slot.type_key), str(slot.kind), f"Which component of kind {slot.kind} it is.")


def _names(slot: Choice, form: Form) -> list[str]:
    """Give the names that a choice has by default; none where the default is no name, which the check tells."""
    default = form.default_of(slot)
    names = default if slot.many and isinstance(default, list | tuple) else () if slot.many else (default,)
    return [name for name in names if isinstance(name, str)]


def _default_text(value: Any) -> str:
    return value.says if isinstance(value, Derived) else json.dumps(value, ensure_ascii=False, default=str)


def _all_of(schemas: list[Schema]) -> Schema:
    return {"allOf": schemas} if schemas else {}


def _reference(name: str) -> Schema:
    pointer = name.replace("~", "~0").replace("/", "~1")
    return {"$ref": f"#/$defs/{quote(pointer, safe='~*:.@')}"}
