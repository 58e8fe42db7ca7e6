"""Every option of what a model is made of, with several good values of each: from the declarations, never by name.

A *variant* is a spec with a component chosen where its kind can be chosen first, and one key changed.
"""

import contextlib
import itertools
import typing
from collections.abc import Iterator
from typing import Any, Literal

import attrs

from stlm.registry.loading import parse_spec
from stlm.registry.manager import Registry
from stlm.spec import Spec, SpecError
from stlm.spec.canonical import dump_plain
from stlm.spec.declaration import Block, Declaration, Option, Slot, declaration_of
from stlm.spec.document import document_from_text
from stlm.spec.sections import ModelSection
from stlm.spec.structure import plain
from tests.contract.choosing import required

NOT_OF_THE_NETWORK = ("tokenizer", "dataset")
MOST_NUMBERS = 3
INTEGERS = (4, 8, 2, 3, 16, 6, 1, 32)
FRACTIONS = (0.25, 2.0, 1e-3, 0.5, 0.0)
"""Numbers to try until so many are good: a check or a rule may refuse some."""

Model = dict[str, Any]


@attrs.frozen
class Variant:
    """A spec in which one key, of the component ``owner`` or of the model section, is not as it was in ``base``."""

    owner: str
    key: str
    value: Any
    spec: Spec = attrs.field(repr=False)
    base: Spec = attrs.field(repr=False)


@attrs.frozen
class Home:
    """Where components of a kind are chosen: the blocks on the way from the model section, and the key there."""

    blocks: tuple[str, ...]
    key: str
    alone: bool  # the mapping is the component's own: nothing else stands in it


def homes(registry: Registry) -> dict[str, Home]:
    """Find the first place for each kind that a model section has a choice of."""
    found: dict[str, Home] = {}

    def look(declaration: Declaration, blocks: tuple[str, ...]) -> None:
        for slot in declaration.slots.values():
            kind = None if isinstance(slot, Option) else slot.kind
            if kind is None or kind in found or kind in NOT_OF_THE_NETWORK:
                continue
            inside = (*blocks, slot.key) if isinstance(slot, Block) else blocks
            key = str(slot.type_key) if isinstance(slot, Block) else slot.key
            found[kind] = Home(inside, key, isinstance(slot, Block))
            for one in registry.all_of(kind):
                look(declaration_of(one.cls), inside)

    look(declaration_of(ModelSection), ())
    return found


class Walk:
    """The variants of one spec, as it was written."""

    def __init__(self, registry: Registry, base: Spec) -> None:
        self.registry = registry
        self.whole = plain(document_from_text(base.source_text, "", [], registry).root)
        self.base: Model = self.whole["model"]
        self.homes = homes(registry)
        self.bases = {kind: _at(self.base, home.blocks) for kind, home in self.homes.items() if home.alone}

    def parse(self, model: Model) -> Spec:
        """Read the spec with another model section."""
        return parse_spec(dump_plain({**self.whole, "model": model}), registry=self.registry)

    def of_section(self) -> Iterator[Variant]:
        """Yield variants of the keys that the model section itself has."""
        yield from self._of("model", declaration_of(ModelSection), (), self.base)

    def of_component(self, kind: str, name: str) -> Iterator[Variant]:
        """Yield variants of the keys of a component; raises `LookupError` where it needs something from outside."""
        chosen = self._good(self._choose(self.base, self.homes[kind], kind, name), kind)
        yield from self._of(f"{kind} {name}", self.declaration(kind, name), self.homes[kind].blocks, chosen)

    def declaration(self, kind: str, name: str) -> Declaration:
        """What a component declares."""
        return declaration_of(self.registry.find(kind, name).cls)

    def names(self, kind: str) -> list[str]:
        """Names of the components of a kind, families aside."""
        return [name for name in self.registry.names(kind) if not name.endswith("*")]

    def _good(self, model: Model, kind: str) -> Model:
        """Find another component for the one of this kind to stand beside, where it does not suit those that are."""
        mistakes: list[SpecError] = []
        for candidate in itertools.chain([model], self._beside(model, kind)):
            try:
                self.parse(candidate)
            except SpecError as error:
                mistakes.append(error)
            else:
                return candidate
        raise mistakes[0]

    def _beside(self, model: Model, kind: str) -> Iterator[Model]:
        for other, home in self.homes.items():
            for name in self.names(other) if other != kind else ():
                with contextlib.suppress(LookupError):
                    yield self._choose(model, home, other, name)

    def _of(self, owner: str, declaration: Declaration, blocks: tuple[str, ...], model: Model) -> Iterator[Variant]:
        base = self.parse(model)
        settled = _at(base.to_plain()["model"], blocks)
        for field, slot in declaration.slots.items():
            was = settled[slot.key].get(slot.type_key) if isinstance(slot, Block) else settled[slot.key]
            numbers = 0
            for value in self._values(slot, declaration.types[field]):
                if value == was or numbers == MOST_NUMBERS:
                    continue
                try:
                    spec = self.parse(self._say(slot, value, blocks, model))
                except (SpecError, LookupError):  # a rule forbids it, or it needs something from outside
                    continue
                numbers += isinstance(value, int | float)
                yield Variant(owner, slot.key, value, spec, base)

    def _values(self, slot: Slot, wanted: Any) -> list[Any]:
        if isinstance(slot, Option):
            return [value for value in _of_type(wanted) if all(check.holds(value) for check in slot.checks)]
        return self.names(str(slot.kind)) if slot.kind not in (None, *NOT_OF_THE_NETWORK) else []

    def _say(self, slot: Slot, value: Any, blocks: tuple[str, ...], model: Model) -> Model:
        if isinstance(slot, Option):
            return _with(model, blocks, {slot.key: value})
        kind, home = str(slot.kind), Home(blocks, slot.key, False)
        if isinstance(slot, Block):
            home = Home((*blocks, slot.key), str(slot.type_key), True)
        return self._good(self._choose(model, home, kind, value), kind)

    def _choose(self, model: Model, home: Home, kind: str, name: str) -> Model:
        """Choose a component with what it requires, in the place of another, whose own keys are gone."""
        cls = self.registry.find(kind, name).cls
        here, options = _at(model, home.blocks), required(self.registry, cls, self.bases)
        if home.alone:
            return _with(model, home.blocks, {home.key: name, **options}, whole=True)
        old = here.get(home.key)
        gone = _keys(self.registry.find(kind, old).cls) - _keys(cls) if old is not None else set()
        kept = {key: value for key, value in here.items() if key not in gone}
        return _with(model, home.blocks, {**options, **kept, home.key: name}, whole=True)


def _of_type(wanted: Any) -> list[Any]:
    origin = typing.get_origin(wanted)
    if origin is Literal:
        return list(typing.get_args(wanted))
    if origin is not None:
        return [value for member in typing.get_args(wanted) for value in _of_type(member)]
    known: dict[Any, list[Any]] = {
        int: [*INTEGERS],
        float: [*FRACTIONS],
        bool: [False, True],
    }
    return known.get(wanted, [])


def _keys(cls: type) -> set[str]:
    return {slot.key for slot in declaration_of(cls).slots.values()}


def _at(model: Model, blocks: tuple[str, ...]) -> Model:
    for key in blocks:
        model = model[key]
    return model


def _with(model: Model, blocks: tuple[str, ...], said: Model, *, whole: bool = False) -> Model:
    """A copy of a mapping in which a part says something else, in addition or as a ``whole``."""
    if not blocks:
        return dict(said) if whole else {**model, **said}
    return {**model, blocks[0]: _with(model.get(blocks[0], {}), blocks[1:], said, whole=whole)}
