"""Components by kind and name: found in metadata, imported when chosen, checked when loaded, run through pluggy."""

import inspect
import os
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import attrs
import pluggy

from stlm.registry.component import Identity, identity_of
from stlm.registry.discovery import Entry, Installed, discover
from stlm.registry.hookspecs import PROJECT, Lifecycle
from stlm.registry.kinds import KINDS
from stlm.spec.components import Found, NotFoundError
from stlm.spec.declaration import Option, declaration_of
from stlm.spec.diagnostics import Code
from stlm.spec.structure import can_structure
from stlm.spec.suggest import nearest


class Registry:
    """The components that are installed."""

    def __init__(self, installed: Installed | None = None) -> None:
        self.installed = discover() if installed is None else installed
        self._loaded: dict[Entry, type | NotFoundError] = {}

    def names(self, kind: str) -> list[str]:
        """List the names of a kind, families with their star, from metadata alone."""
        return sorted(name for name in self.installed.entries.get(kind, {}) if name != "*")

    def entries(self, kind: str | None = None) -> Iterator[Entry]:
        """Yield the entries of a kind, or all."""
        for one in [kind] if kind else self.installed.kinds():
            for name in sorted(self.installed.entries.get(one, {})):
                yield from self.installed.entries[one][name]

    def find(self, kind: str, name: str) -> Found:
        """Return the component that a name stands for: an alias, a family's member, or ``name@distribution``.

        Raises `NotFoundError` where there is none, where two distributions claim it, or where it cannot be loaded.
        """
        bare, at, distribution = name.rpartition("@")
        candidates = [
            e for e in self._candidates(kind, bare) if at and _normal(e.distribution) == _normal(distribution)
        ]
        if not candidates:  # no such distribution: the sign may be part of a family's name, as in a path
            bare, at, candidates = name, "", self._candidates(kind, name)
        if not candidates:
            raise self._unknown(kind, name)
        if len(candidates) > 1:
            who = " and ".join(str(e) for e in candidates)
            choose = tuple(f"write `{bare}@{e.distribution}`" for e in candidates)
            raise NotFoundError(Code.CONFLICT, f"{kind} `{bare}` is claimed twice: by {who}", choose)
        entry = candidates[0]
        cls = self.load(entry)
        identity = identity_of(cls)
        assert identity is not None
        canonical = bare if identity.is_family else identity.name
        ambiguous = at and len(self._candidates(kind, bare)) > 1
        member = bare.removeprefix(identity.prefix) if identity.is_family else ""
        return Found(kind, f"{canonical}@{entry.distribution}" if ambiguous else canonical, cls, entry, member)

    def all_of(self, kind: str) -> Iterable[Found]:
        """Load and yield every component of a kind that can be loaded, each once, aliases left out."""
        seen: set[type] = set()
        for entry in self.entries(kind):
            try:
                cls = self.load(entry)
            except NotFoundError:
                continue
            identity = identity_of(cls)
            if identity is not None and cls not in seen:
                seen.add(cls)
                yield Found(kind, identity.name, cls, entry)

    def load(self, entry: Entry) -> type:
        """Import the class of an entry and check that it is what the entry says; raises `NotFoundError`."""
        if entry not in self._loaded:
            try:
                self._loaded[entry] = _import(entry)
            except NotFoundError as error:
                self._loaded[entry] = error
        loaded = self._loaded[entry]
        if isinstance(loaded, NotFoundError):
            raise loaded
        return loaded

    def _candidates(self, kind: str, name: str) -> list[Entry]:
        names = self.installed.entries.get(kind, {})
        if name in names and not name.endswith("*"):
            return names[name]
        families = [n for n in names if n.endswith("*") and name.startswith(n[:-1]) and len(name) > len(n) - 1]
        for family in sorted(families, key=len, reverse=True):  # the longest prefix is the closest kin
            taken = [e for e in names[family] if self._accepts(e, name)]
            if taken:
                return taken
        return []

    def _accepts(self, entry: Entry, name: str) -> bool:
        try:
            accepts = getattr(self.load(entry), "accepts", None)
        except NotFoundError:
            return entry.name != "*"  # a prefix is claim enough to report why it cannot be loaded
        return accepts is None or bool(accepts(name))

    def _unknown(self, kind: str, name: str) -> NotFoundError:
        names = self.names(kind)
        if not names:
            message = f"there is no {kind} `{name}`; no installed plugin brings any {kind}"
            return NotFoundError(Code.UNKNOWN_NAME, message)
        listed = ", ".join(f"`{n}`" for n in names[:40]) + (" …" if len(names) > 40 else "")
        help_lines = [*nearest(name, names), f"allowed: {listed}"]
        for entry in self.entries(kind):
            hint = self._hint(entry, name) if entry.name == "*" else None
            help_lines.extend([hint] if hint else [])
        return NotFoundError(Code.UNKNOWN_NAME, f"there is no {kind} `{name}`", tuple(help_lines))

    def _hint(self, entry: Entry, name: str) -> str | None:
        """What a family that takes any name says of one that it refused (its class attribute ``expects``)."""
        try:
            return getattr(self.load(entry), "expects", None)
        except NotFoundError:
            return None


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _import(entry: Entry) -> type:
    """Load an entry point, whatever its package does on import, and check the class against the entry."""
    try:
        cls = entry.point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may do anything, `sys.exit` included; it must not take down the rest
        message = f"{entry} cannot be imported: {type(error).__name__}: {error}"
        raise NotFoundError(Code.PLUGIN, " ".join(message.split()), (f"mend or remove {entry.distribution}",)) from None
    try:
        faults = check_component(cls, entry)
    except Exception as error:  # an annotation that means nothing, say
        faults = [f"its declaration cannot be read: {type(error).__name__}: {error}"]
    if faults:
        raise NotFoundError(Code.PLUGIN, f"{entry} breaks the contract: {faults[0]}", tuple(faults[1:]))
    assert isinstance(cls, type)
    return cls


def check_component(cls: Any, entry: Entry) -> list[str]:
    """List what is wrong with a class that an entry point registers: its kind, name, options, acts and hooks."""
    identity: Identity | None = identity_of(cls) if isinstance(cls, type) else None
    if identity is None:
        return ["it is not a class under @component"]
    faults = []
    if identity.kind != entry.kind:
        faults.append(f"the class says kind {identity.kind}, the entry point {entry.kind}")
    if identity.is_family != entry.is_family or (entry.is_family and identity.name != entry.name):
        faults.append(f"the class says name {identity.name}, the entry point {entry.name}")
    kind = KINDS.get(entry.kind)
    for act in kind.acts if kind else ():
        if not hasattr(cls, act):
            faults.append(f"a component of kind {entry.kind} has `{act}`, this one has not")
    declaration = declaration_of(cls)
    for field, slot in declaration.slots.items():
        if not slot.doc.strip():
            faults.append(f"the option `{slot.key}` has no doc")
        if isinstance(slot, Option) and not can_structure(declaration.types[field]):
            faults.append(f"the option `{slot.key}` has a type that no spec can say: {declaration.types[field]}")
    faults.extend(hook_faults(cls))
    return faults


def hook_faults(cls: type) -> list[str]:
    """List hook methods that no moment of a run calls, or that ask for an argument which the moment does not have."""
    faults = []
    for name, member in inspect.getmembers(cls, inspect.isfunction):
        if not hasattr(member, f"{PROJECT}_impl"):
            continue
        moment = getattr(Lifecycle, name, None)
        if moment is None:
            moments = [m for m in vars(Lifecycle) if not m.startswith("_")]
            faults.append(" ".join((f"there is no hook `{name}`", *nearest(name, moments))))
            continue
        extra = set(inspect.signature(member).parameters) - set(inspect.signature(moment).parameters)
        if extra:
            faults.append(f"the hook `{name}` has no argument {', '.join(f'`{e}`' for e in sorted(extra))}")
    return faults


def components_of(value: Any) -> Iterator[Any]:
    """Yield every component object inside a resolved spec, from the outside in."""
    if identity_of(type(value)) is not None:
        yield value
    if attrs.has(type(value)) and hasattr(type(value), "__attrs_attrs__"):
        for field in attrs.fields(type(value)):
            if "stlm" in field.metadata:
                held = getattr(value, field.name)
                for one in held if isinstance(held, tuple) else (held,):
                    yield from components_of(one)


def lifecycle(*plugins: Any) -> pluggy.PluginManager:
    """Make the plugin manager of one run: the component objects of its spec, then the run's own hooks, each once.

    With ``STLM_TRACE_HOOKS`` set in the environment, each call of a hook is shown on stderr as it happens.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Lifecycle)
    held: list[Any] = []
    for plugin in plugins:
        if takes_part(type(plugin)) and not any(
            plugin is one or (type(plugin) is type(one) and plugin == one) for one in held
        ):
            held.append(plugin)
            manager.register(plugin, name=f"{type(plugin).__module__}.{type(plugin).__qualname__}#{len(held)}")
    if os.environ.get("STLM_TRACE_HOOKS"):
        manager.trace.root.setwriter(lambda text: print(text, end="", file=sys.stderr))
        manager.enable_tracing()
    return manager


def takes_part(cls: type) -> bool:
    """Whether a class implements any hook."""
    return any(hasattr(member, f"{PROJECT}_impl") for base in cls.__mro__ for member in vars(base).values())


@cache
def installed() -> Registry:
    """The registry of this Python environment, scanned once a process."""
    return Registry()
