"""The vocabulary in which a component or a section of a spec declares what may be said to it.

A declaration is a frozen attrs class. Its fields are made by `option` (a plain value), `choice` and `choices` (names of
other components, whose own options stand beside the key) and `block` (a mapping of its own). Its `rule`s and `provides`
are static functions of the values that they name, so that each can run as soon as those values are known, and so that
an explanation of a value is read off the declaration rather than guessed.
"""

import typing
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, distribution
from typing import Any, ClassVar, Protocol, TypeVar, dataclass_transform

import attrs

from stlm.spec.checks import Check
from stlm.spec.errors import StlmError


class _Required:
    """The default of a key that has none."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Any = _Required()
_META = "stlm"
_T = TypeVar("_T")


@attrs.frozen
class Derived:
    """A default that is computed from other values; ``sources`` are keys of the same component or absolute paths."""

    compute: Callable[..., Any]
    sources: tuple[str, ...]
    says: str


def same_as(source: str) -> Derived:
    """Default to the value of another key."""
    return Derived(lambda value: value, (source,), f"`{source}`")


def derived(compute: Callable[..., Any], *sources: str, says: str) -> Derived:
    """Default to ``compute(*values of sources)``; ``says`` is the formula in words.

    Where ``compute`` raises `ValueError`, the default cannot be had: its message is reported at the first source.
    """
    return Derived(compute, sources, says)


@attrs.frozen
class Option:
    """A key that holds a plain value."""

    key: str
    doc: str
    default: Any = REQUIRED
    checks: tuple[Check, ...] = ()


class Listing(Protocol):
    """What a list under the key of a `choice` becomes: an object of all its ``members``.

    Each is a mapping of the section ``member``, whose first choice says what a member is. A name alone in the list is
    a member of which nothing else is said.
    """

    member: ClassVar[type]
    members: tuple[Any, ...]

    def __init__(self, members: tuple[Any, ...]) -> None: ...


@attrs.frozen
class Choice:
    """A key that names a component of ``kind`` (where ``many``, a list of them), or lists ``listed.members``."""

    key: str
    kind: str
    doc: str
    _default: Any = REQUIRED
    many: bool = False
    listed: type[Listing] | None = None

    @property
    def default(self) -> Any:
        """The name or names that are chosen where the key is not written."""
        return self._default() if isinstance(self._default, Named) else self._default


@attrs.frozen
class Block:
    """A key that holds a mapping of its own: of a fixed ``section``, or of the component that ``type_key`` names.

    ``defaults`` stand for what keys of that mapping say where nothing is written, in the place of their own defaults.
    """

    key: str
    doc: str
    kind: str | None = None
    type_key: str | None = None
    section: type | None = None
    required: bool = False  # must be written; a section whose keys all have defaults need not be
    optional: bool = False  # may be absent, and is then None
    defaults: Mapping[str, Any] = attrs.field(factory=dict, eq=False)


@attrs.frozen
class Named:
    """A default of the language, by the kind that it is of: which component it is, stlm's pyproject.toml says.

    So the language names no component, and what is a default stands where the components are listed.
    """

    kind: str

    def __call__(self) -> str:
        """Read the name; raises `StlmError` where what is installed is older than this file."""
        for point in _defaults():
            if point.name == self.kind:
                return point.value
        raise StlmError(f"stlm is installed without a default of kind {self.kind}: install it anew")


@cache
def _defaults() -> tuple[EntryPoint, ...]:
    return tuple(distribution("stlm").entry_points.select(group="stlm.defaults"))


Slot = Option | Choice | Block


def option(*checks: Check, default: Any = REQUIRED, doc: str, key: str | None = None) -> Any:
    """Declare a plain value: its checks, its default (none: required; or `same_as`, `derived`) and its sentence."""
    slot = Option(key or "", doc, default, checks)
    plain = attrs.NOTHING if isinstance(default, Derived) or default is REQUIRED else default
    return attrs.field(default=plain, validator=list(checks), metadata={_META: slot})


def choice(
    kind: str, *, default: Any = REQUIRED, doc: str, key: str | None = None, listed: type[Listing] | None = None
) -> Any:
    """Declare a key that names a component of ``kind``; the component's options stand beside the key.

    Where ``listed`` is given, the key may hold a list instead, which becomes an object of that class.
    """
    return attrs.field(metadata={_META: Choice(key or "", kind, doc, default, listed=listed)})


def choices(kind: str, *, default: tuple[str, ...] = (), doc: str, key: str | None = None) -> Any:
    """Declare a key that lists components of ``kind``."""
    return attrs.field(factory=tuple, metadata={_META: Choice(key or "", kind, doc, default, many=True)})


def block(
    what: str | type,
    *,
    type_key: str | None = None,
    doc: str,
    key: str | None = None,
    required: bool | None = None,
    optional: bool = False,
    defaults: Mapping[str, Any] | None = None,
) -> Any:
    """Declare a mapping of its own: a `section` class, or a kind with the ``type_key`` that chooses within it.

    The mapping of a component must be written unless it is ``optional``; that of a section only where ``required``.
    ``defaults`` are values of keys in the mapping, where the spec says nothing: what is usual of a part may be wrong
    inside another. Each is held to the type and the checks of its key, as if it were written. A key that the chosen
    component does not have is passed over.
    """
    given = dict(defaults or {})
    if isinstance(what, type):
        slot = Block(key or "", doc, section=what, required=bool(required), optional=optional, defaults=given)
    else:
        must, chooser = not optional if required is None else required, type_key or f"{what}_type"
        slot = Block(key or "", doc, kind=what, type_key=chooser, required=must, optional=optional, defaults=given)
    return attrs.field(default=None if optional else attrs.NOTHING, metadata={_META: slot})


@attrs.frozen
class Rule:
    """A condition over several values; ``keys`` are its arguments, the first of which it points at."""

    name: str
    keys: tuple[str, ...]
    check: Callable[..., str | None]
    doc: str


@attrs.frozen
class Provision:
    """A default that a component supplies for a key which it does not own."""

    path: str
    sources: tuple[str, ...]
    compute: Callable[..., Any]
    says: str


class _Marked(staticmethod):  # type: ignore[type-arg]
    """A static function of a declaration, with what the declaration says about it."""

    mark: tuple[str, tuple[str, ...]]


def rule(*keys: str) -> Callable[[Callable[..., str | None]], Any]:
    """Mark a function of the named values that returns None, or a sentence saying what is wrong.

    A key without a dot is the component's own; one with dots is an absolute path (``model.attn.head_dim``). The rule is
    skipped where a path does not exist in the spec at hand, or its value is already known to be wrong.
    """

    def mark(function: Callable[..., str | None]) -> Any:
        marked = _Marked(function)
        marked.mark = ("rule", keys)
        return marked

    return mark


class NotAtHandError(Exception):
    """Raised by a function of `provides` that could give the default if it had something: its text says how to get it.

    Where the key is then missing, the text is told as help.
    """


def provides(path: str, *sources: str) -> Callable[[Callable[..., Any]], Any]:
    """Mark a function of ``sources`` whose result is the default of another's key at the absolute ``path``.

    A result of None provides nothing, and so does `NotAtHandError`, with a reason. Of several components that provide a
    default for one key, the one that was chosen in the outer mapping comes first. Its docstring says, in words, where
    the value comes from.
    """

    def mark(function: Callable[..., Any]) -> Any:
        marked = _Marked(function)
        marked.mark = ("provides", (path, *sources))
        return marked

    return mark


@attrs.frozen
class Declaration:
    """What a declared class says, read once: slots by field name, rules and provisions."""

    cls: type
    slots: dict[str, Slot]
    types: dict[str, Any]
    rules: tuple[Rule, ...]
    provisions: tuple[Provision, ...]
    doc: str

    @property
    def first_choice(self) -> Choice:
        """The first slot that names a component: what a member of a `Listing` is."""
        return next(slot for slot in self.slots.values() if isinstance(slot, Choice))

    def by_key(self, key: str) -> tuple[str, Slot] | None:
        """Find the field that is written as ``key`` in this declaration's own mapping."""
        for name, slot in self.slots.items():
            if slot.key == key:
                return name, slot
        return None


_declarations: dict[type, Declaration] = {}


def declaration_of(cls: type) -> Declaration:
    """Read the declaration of a class made by `section` or `component`; the result is kept."""
    found = _declarations.get(cls)
    if found is None:
        found = _declarations[cls] = _read(cls)
    return found


def _read(cls: type) -> Declaration:
    fields = [f for f in attrs.fields(cls) if _META in f.metadata]
    slots: dict[str, Slot] = {
        f.name: attrs.evolve(f.metadata[_META], key=f.metadata[_META].key or f.name) for f in fields
    }
    types = {f.name: f.type for f in fields}
    if any(isinstance(t, str) for t in types.values()):  # `from __future__ import annotations` in the declaring file
        hints = typing.get_type_hints(cls)
        types = {name: hints[name] for name in types}
    rules: list[Rule] = []
    provisions: list[Provision] = []
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            if isinstance(member, _Marked):
                what, keys = member.mark
                doc = " ".join((member.__func__.__doc__ or name.replace("_", " ")).split())
                if what == "rule":
                    rules.append(Rule(name, keys, member.__func__, doc))
                else:
                    provisions.append(Provision(keys[0], keys[1:], member.__func__, doc))
    doc = (cls.__doc__ or "").strip().split("\n\n")[0]
    return Declaration(cls, slots, types, tuple(rules), tuple(provisions), " ".join(doc.split()))


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option, choice, choices, block))
def section(cls: type[_T]) -> type[_T]:
    """Declare a mapping with fixed keys: a frozen attrs class whose fields are slots of the language.

    It has no `__slots__`, for of classes with those a component could inherit only one.
    """
    return attrs.frozen(cls, kw_only=True, slots=False)
