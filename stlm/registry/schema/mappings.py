"""The mappings of a spec, in the words of JSON Schema: keys of sections, and those of the components that they choose.

Every declaration is one definition: its own keys, and for each of its choices "if this name is written, the keys of
that component are there too". A mapping is closed by ``unevaluatedProperties``, which knows what all of these said.
What a spec that ``extends`` another leaves out may stand in its parent, so there are two forms of each definition: the
whole one, and the ``part`` that asks for no key and takes the options of every component where none is chosen.
"""

from typing import Any
from urllib.parse import quote

from stlm.registry.manager import Registry
from stlm.registry.schema.names import Named, Names, names_of
from stlm.registry.schema.values import described, of_option
from stlm.spec.declaration import REQUIRED, Block, Choice, Declaration, Derived, Option, Slot, declaration_of

Schema = dict[str, Any]


class Definitions:
    """The definitions that a schema refers to, made when they are first asked for."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.made: dict[str, Schema] = {}
        self._names: dict[str, Names] = {}

    def section(self, cls: type, *, part: bool) -> Schema:
        """Refer to the keys of a section."""
        return self._refer(f"{cls.__module__}.{cls.__qualname__}", cls, part=part)

    def mapping(self, slot: Block, *, part: bool) -> Schema:
        """Say what a block holds, closed to keys that nothing declares."""
        if slot.section is not None:
            must = not part and any(map(self._is_required, declaration_of(slot.section).slots.values()))
            keys = self.section(slot.section, part=part)
            return {"type": "object" if must else ["object", "null"], **keys, "unevaluatedProperties": False}
        assert slot.kind is not None
        assert slot.type_key is not None
        name = f"{'part of ' if part else ''}{slot.kind} by {slot.type_key}"
        if name not in self.made:
            self.made[name] = {}
            choice = Choice(slot.type_key, slot.kind, f"Which component of kind {slot.kind} it is.")
            self.made[name].update(
                {
                    "type": "object",
                    "properties": {slot.type_key: self._choice(choice)},
                    **({} if part else {"required": [slot.type_key]}),
                    **_all_of(self._chosen(choice, part=part)),
                    "unevaluatedProperties": False,
                }
            )
        return _reference(name)

    def _component(self, kind: str, named: Named, *, part: bool) -> Schema:
        entries = self.registry.installed.entries[kind][named.entry.name]
        package = f"@{named.entry.distribution}" if len(entries) > 1 else ""
        return self._refer(f"{kind}.{named.entry.name}{package}", named.cls, part=part)

    def _refer(self, name: str, cls: type, *, part: bool) -> Schema:
        name = f"part of {name}" if part else name
        if name not in self.made:
            self.made[name] = {}  # a component may hold its like, as a mixture its experts
            self.made[name].update(self._keys(declaration_of(cls), part=part))
        return _reference(name)

    def _keys(self, declaration: Declaration, *, part: bool) -> Schema:
        slots = declaration.slots
        choices = [slot for slot in slots.values() if isinstance(slot, Choice)]
        beside = [one for slot in choices for one in self._chosen(slot, part=part)]
        required = [] if part else [slot.key for slot in slots.values() if self._is_required(slot)]
        for key in [key for key in required if key in self._provided()]:
            required.remove(key)
            beside.extend(self._unless_provided(key, choices))
        return {
            "description": declaration.doc,
            "properties": {slot.key: self._key(slot, declaration.types[f], part=part) for f, slot in slots.items()},
            **({"required": required} if required else {}),
            **_all_of(beside),
        }

    def _key(self, slot: Slot, wanted: Any, *, part: bool) -> Schema:
        if isinstance(slot, Option):
            return of_option(slot, wanted)
        if isinstance(slot, Choice):
            return self._choice(slot)
        return {**self.mapping(slot, part=part), "description": slot.doc}

    def _is_required(self, slot: Slot) -> bool:
        """Whether a key must be written: it has no default, or is a section with such a key in it."""
        if isinstance(slot, Block) and slot.section is not None and not slot.optional:
            return slot.required or any(map(self._is_required, declaration_of(slot.section).slots.values()))
        if isinstance(slot, Block):
            return slot.required
        return slot.default is REQUIRED and not (isinstance(slot, Choice) and slot.many)

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

    def _choice(self, slot: Choice) -> Schema:
        said: Schema = {"description": described(slot.doc, slot.default)}
        if slot.many:
            said |= {"type": "array", "items": self._name(slot.kind), "uniqueItems": True}
        elif slot.listed is not None:
            member = {"type": "object", **self.section(slot.listed.member, part=False), "unevaluatedProperties": False}
            items = {"anyOf": [self._name(slot.kind), member]}
            said |= {"anyOf": [self._name(slot.kind), {"type": "array", "items": items, "minItems": 1}]}
        else:
            said |= self._name(slot.kind)
        if slot.default is not REQUIRED and not isinstance(slot.default, Derived):
            said["default"] = list(slot.default) if slot.many else slot.default
        return said

    def _chosen(self, slot: Choice, *, part: bool) -> list[Schema]:
        """Say which keys stand beside a type key, for each name that it may hold."""
        rich = [one for one in self.names(slot.kind).components if declaration_of(one.cls).slots]
        defaults = (slot.default,) if isinstance(slot.default, str) else slot.default if slot.many else ()
        beside = []
        for named in rich:
            by_default = not part and any(entry.name in defaults for entry in named.entries)
            written = {} if by_default else {"required": [slot.key]}
            chooses = {"properties": {slot.key: self._chooses(slot, named)}, **written}
            beside.append({"if": chooses, "then": self._component(slot.kind, named, part=part)})
        if rich:  # a name that there is not has been marked; its options are no further mistakes
            known = self._choice(slot)
            right = {"properties": {slot.key: {k: v for k, v in known.items() if k not in ("description", "default")}}}
            beside.append({"if": right, "else": {"additionalProperties": True}})
        if part and rich:
            any_of = [self._component(slot.kind, named, part=True) for named in rich]
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


def _all_of(schemas: list[Schema]) -> Schema:
    return {"allOf": schemas} if schemas else {}


def _reference(name: str) -> Schema:
    pointer = name.replace("~", "~0").replace("/", "~1")
    return {"$ref": f"#/$defs/{quote(pointer, safe='~*:.@')}"}
