"""Which declarations rule a mapping: its own, and those of the components that it chooses by name.

A *scope* is one mapping of a spec. Its *parts* are the declarations that are in force there: the section or component
that the mapping is for, then each component that a type key in it chooses, whose options are siblings of that key.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import attrs

from stlm.spec.components import Components, Found, NotFoundError
from stlm.spec.declaration import REQUIRED, Block, Choice, Declaration, Option, Slot, declaration_of
from stlm.spec.diagnostics import Code, Place
from stlm.spec.reading import Entry, Mapping, Node, Scalar, Sequence, describe
from stlm.spec.structure import node_of

Report = Callable[[Place, str, Code, str, tuple[str, ...]], None]
_Own = TypeVar("_Own", bound="Part | None")


@attrs.define(eq=False)
class Part:
    """One declaration in force in a scope; ``found`` is None for a section, which nobody chose."""

    declaration: Declaration
    scope: "Scope"
    found: Found | None = None
    chosen: dict[str, list["Part"]] = attrs.field(factory=dict)  # by field name: what its choices chose, in order
    blocks: dict[str, "Scope"] = attrs.field(factory=dict)  # by field name: the mappings of its own
    members: dict[str, list["Scope"]] = attrs.field(factory=dict)  # by field name: those of a choice that is a list

    @property
    def title(self) -> str:
        """Name the declaration for a message."""
        if self.found:
            return str(self.found)
        return f"section `{self.scope.path}`" if self.scope.path else "the top level of a spec"

    @property
    def plugin(self) -> str:
        """The distribution that the declaration is from."""
        return self.found.plugin if self.found else "stlm"


@attrs.define(eq=False)
class Scope:
    """One mapping: where it stands, what it says, and which parts are in force."""

    path: str
    place: Place
    mapping: Mapping | None
    parts: list[Part] = attrs.field(factory=list)
    unresolved: set[str] = attrs.field(factory=set)  # kinds of which a name could not be resolved here
    opaque: bool = False  # a component that was chosen cannot be loaded, so which keys are its own cannot be known
    type_keys: dict[str, str | None] = attrs.field(factory=dict)  # type key of this block, and what it says
    given: dict[str, tuple[Any, Part]] = attrs.field(factory=dict)  # defaults from around it, each with who gives it
    is_member: bool = False  # of a list, so that its keys are those of the component that it chooses, and few others

    @property
    def root(self) -> Part | None:
        """The part that the mapping is for; None where its own type key named nothing."""
        return self.parts[0] if self.parts else None

    @property
    def speaker(self) -> Part | None:
        """The part that a message about the mapping names: of a member of a list, the component that it chooses."""
        return self.parts[1] if self.is_member and len(self.parts) > 1 else self.root

    def entry(self, key: str) -> Entry | None:
        """Return what the mapping says of a key."""
        return self.mapping.get(key) if self.mapping else None

    def slots(self) -> Iterator[tuple[Part, str, Slot]]:
        """Yield every slot that is in force, with its part and the name of its field."""
        for part in self.parts:
            for name, slot in part.declaration.slots.items():
                yield part, name, slot

    def keys(self) -> set[str]:
        """The keys that this mapping may hold."""
        return {slot.key for _, _, slot in self.slots()} | set(self.type_keys)

    def default_of(self, slot: Option | Choice) -> Any:
        """The default of a key in this mapping."""
        return self.given[slot.key][0] if slot.key in self.given else slot.default

    def giver_of(self, slot: Option | Choice, own: _Own) -> Part | _Own:
        """The part that declares that default; ``own`` is the one whose slot it is."""
        return self.given[slot.key][1] if slot.key in self.given else own

    def allows(self, key: str) -> bool:
        """Whether this mapping may hold a key."""
        return key in self.keys()

    def walk(self) -> Iterator["Scope"]:
        """Yield this scope and every one inside it."""
        yield self
        for part in self.parts:
            for inner in itertools.chain(part.blocks.values(), *part.members.values()):
                yield from inner.walk()

    def at(self, key: str) -> str:
        """The absolute path of a key of this mapping."""
        return f"{self.path}.{key}" if self.path else key


class Opener:
    """Opens scopes: finds the components that mappings choose, and reports names that are not there."""

    def __init__(self, components: Components, report: Report) -> None:
        self.components, self.report = components, report

    def open(
        self,
        slot: Block,
        path: str,
        place: Place,
        mapping: Mapping | None,
        *,
        is_member: bool = False,
        owner: Part | None = None,
    ) -> Scope:
        """Open the mapping that ``slot`` of ``owner`` declares; a key that it lacks is reported at ``place``."""
        scope = Scope(path, place, mapping, is_member=is_member)
        if owner is not None:
            scope.given = {key: (value, owner) for key, value in slot.defaults.items()}
        if slot.section is not None:
            self._add(scope, Part(declaration_of(slot.section), scope))
            return scope
        assert slot.kind is not None
        assert slot.type_key is not None
        scope.type_keys[slot.type_key] = None
        found = self._named(scope, Choice(slot.type_key, slot.kind, slot.doc))
        for component in found:
            scope.type_keys[slot.type_key] = component.selector
            self._add(scope, Part(declaration_of(component.cls), scope, component))
        return scope

    def _add(self, scope: Scope, part: Part) -> None:
        scope.parts.append(part)
        for name, slot in part.declaration.slots.items():
            if isinstance(slot, Choice) and self._is_list(scope, slot):
                part.members[name] = self._members(scope, slot)
            elif isinstance(slot, Choice):
                part.chosen[name] = [self._part(scope, found) for found in self._named(scope, slot, part)]
            elif isinstance(slot, Block):
                inner = self._block(scope, slot, part)
                if inner is not None:
                    part.blocks[name] = inner

    def _part(self, scope: Scope, found: Found) -> Part:
        """Return the part of a component that is chosen; chosen twice in one mapping, it is one part."""
        for part in scope.parts:
            if part.found is not None and part.found.cls is found.cls and part.found.selector == found.selector:
                return part
        part = Part(declaration_of(found.cls), scope, found)
        self._add(scope, part)
        return part

    def _block(self, scope: Scope, slot: Block, owner: Part) -> Scope | None:
        entry, path = scope.entry(slot.key), scope.at(slot.key)
        if entry is None:
            if slot.key in scope.given:
                what = f"`{slot.key}` is a mapping, whose keys are given one by one, by who declares it"
                self.report(scope.place, path, Code.PLUGIN, *wrong_default(scope.given[slot.key][1], path, what))
            if slot.optional:
                return None
            if slot.required:
                self.report(scope.place, path, Code.MISSING_KEY, f"`{path}` is missing: {_lower(slot.doc)}", ())
                return None
            return self.open(slot, path, scope.place, None, owner=owner)
        if isinstance(entry.value, Scalar) and entry.value.value is None and entry.value.text == "" and slot.section:
            return self.open(slot, path, entry.place, None, owner=owner)  # `general:` with nothing below: all defaults
        if not isinstance(entry.value, Mapping):
            message = f"`{slot.key}` takes a mapping, got {describe(entry.value)}"
            self.report(entry.value.place, path, Code.WRONG_TYPE, message, (slot.doc,))
            return None
        return self.open(slot, path, entry.place, entry.value, owner=owner)

    def _is_list(self, scope: Scope, slot: Choice) -> bool:
        entry = scope.entry(slot.key)
        return slot.listed is not None and entry is not None and isinstance(entry.value, Sequence)

    def _members(self, scope: Scope, slot: Choice) -> list[Scope]:
        """Open each mapping of a list; a name alone stands for a mapping that says no more."""
        entry, path = scope.entry(slot.key), scope.at(slot.key)
        assert slot.listed is not None
        assert entry is not None
        assert isinstance(entry.value, Sequence)
        of = Block(slot.key, slot.doc, section=slot.listed.member)
        name = declaration_of(slot.listed.member).first_choice.key
        opened = []
        for number, node in enumerate(entry.value):
            if isinstance(node, Scalar) and isinstance(node.value, str):
                node = Mapping({name: Entry(name, node.place, node)}, node.place)
            if isinstance(node, Mapping):
                opened.append(self.open(of, f"{path}.{number}", node.place, node, is_member=True))
            else:
                message = f"`{slot.key}` lists names of kind {slot.kind}, or mappings, got {describe(node)}"
                self.report(node.place, path, Code.WRONG_TYPE, message, (f"write {listing_words(slot)}",))
        if not entry.value.items:
            message = f"`{slot.key}` lists nothing"
            self.report(entry.value.place, path, Code.OUT_OF_RANGE, message, (f"write {listing_words(slot)}",))
        return opened

    def _named(self, scope: Scope, slot: Choice, owner: Part | None = None) -> list[Found]:
        """Find what a type key chooses; reports and returns nothing where that cannot be known.

        A default means the component of the package that declares it (``owner``), else stlm's, should several packages
        bring the name.
        """
        entry = scope.entry(slot.key)
        if entry is not None:
            return self._read(scope, slot, entry.value, self.report)
        default, giver = scope.default_of(slot), scope.giver_of(slot, owner)
        if default is REQUIRED and not slot.many:
            scope.unresolved.add(slot.kind)
            path, names = scope.at(slot.key), self.components.allowed(slot.kind)
            message = f"`{path}` is missing: {_lower(slot.doc)}"
            self.report(scope.place, path, Code.MISSING_KEY, message, (f"allowed: {names}",))
            return []
        assert giver is not None
        return self._read(scope, slot, node_of(default, scope.place), self._defect_of(giver), giver)

    def _defect_of(self, giver: Part) -> Report:
        """Report what is wrong with a default as a defect of the part that gives it."""

        def report(place: Place, path: str, _: Code, message: str, __: tuple[str, ...]) -> None:
            self.report(place, path, Code.PLUGIN, *wrong_default(giver, path, message))

        return report

    def _read(self, scope: Scope, slot: Choice, said: Node, report: Report, giver: Part | None = None) -> list[Found]:
        """Find what is said, or what a ``giver`` gives as the default."""
        path = scope.at(slot.key)
        nodes: list[Node] = [said]
        if slot.many:
            if not isinstance(said, Sequence):
                scope.unresolved.add(slot.kind)
                message = f"`{slot.key}` takes a list of names, got {describe(said)}"
                report(said.place, path, Code.WRONG_TYPE, message, (f"write [{_text(said)}]",))
                return []
            nodes = list(said)
        found: list[Found] = []
        for node in nodes:
            if not isinstance(node, Scalar) or not isinstance(node.value, str):
                scope.unresolved.add(slot.kind)
                message = f"`{slot.key}` takes the name of a component of kind {slot.kind}, got {describe(node)}"
                help_lines: tuple[str, ...] = (f"allowed: {self.components.allowed(slot.kind)}",)
                if slot.listed is not None:
                    help_lines = (*help_lines, f"or write a list: {listing_words(slot)}")
                report(node.place, path, Code.WRONG_TYPE, message, help_lines)
            elif one := self._find(scope, slot, node, report, giver):
                if slot.many and one in found:
                    message = f"`{node.value}` stands twice in `{slot.key}`"
                    report(node.place, path, Code.CONFLICT, message, ("take one of them out",))
                else:
                    found.append(one)
        return found

    def _find(self, scope: Scope, slot: Choice, node: Scalar, report: Report, giver: Part | None) -> Found | None:
        name = str(node.value)
        try:
            return self.components.find(slot.kind, name)
        except NotFoundError as error:
            if error.code is Code.CONFLICT and giver is not None:
                for plugin in dict.fromkeys((giver.plugin, "stlm")):
                    with contextlib.suppress(NotFoundError):
                        return self.components.find(slot.kind, f"{name}@{plugin}")
            scope.unresolved.add(slot.kind)
            scope.opaque = scope.opaque or error.code is Code.PLUGIN
            tell = report if error.code is Code.UNKNOWN_NAME else self.report  # others are no fault of who names it
            tell(node.place, scope.at(slot.key), error.code, error.message, error.help)
            return None


def wrong_default(giver: Part, path: str, what: str) -> tuple[str, tuple[str, ...]]:
    """Say, as a message and its help, that a default is a defect of the part that gives it."""
    message = f"{giver.title} of {giver.plugin} gives a wrong default: {what}"
    return message, ("this is a defect of the plugin", f"a spec that says `{path}` does without it")


def listing_words(slot: Choice) -> str:
    """Show how the list of a choice is written: ``[{name: …, weight: …}, …]``."""
    assert slot.listed is not None
    keys = ", ".join(f"{one.key}: …" for one in declaration_of(slot.listed.member).slots.values())
    return f"[{{{keys}}}, …]"


def _lower(sentence: str) -> str:
    """A sentence as the second half of another."""
    head = sentence.rstrip(".")
    return head[:1].lower() + head[1:] if head[:2].istitle() or head[:2].endswith(" ") else head


def _text(node: Node) -> str:
    if not isinstance(node, Scalar):
        return "…"
    return "" if node.value is None else node.text
