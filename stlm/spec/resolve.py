"""Document to Spec: each key structured, each default and rule applied, every mistake collected in one pass."""

from collections.abc import Callable
from typing import Any, Literal, NoReturn

import attrs

from stlm.spec.components import Components
from stlm.spec.declaration import REQUIRED, Block, Choice, Derived, NotAtHandError, Option, Provision
from stlm.spec.diagnostics import Code, Diagnostic, Place
from stlm.spec.provenance import Default, Origin, Provenance, Provided, Worked, Written
from stlm.spec.reading import Mapping
from stlm.spec.scope import Opener, Part, Scope, wrong_default
from stlm.spec.sections import SpecSections
from stlm.spec.structure import MismatchesError, as_text, as_wanted, node_of, structure
from stlm.spec.unknown import explain_unknown, misspelled_choices

MOST_DIAGNOSTICS = 200


WHOLE = Block("", "", section=SpecSections)


class _UnknownValueError(Exception):
    """A value that something else needs is wrong or missing; it has been reported where it stands."""


@attrs.define(eq=False)
class _Cell:
    """The value of one option, from unread to known."""

    part: Part
    field: str
    slot: Option
    path: str
    place: Place
    state: Literal["new", "busy", "known", "wrong"] = "new"
    value: Any = None
    origin: Origin | None = None


class Resolver:
    """Resolves one mapping, a whole spec unless another ``block`` is named; every mistake is in ``diagnostics``."""

    def __init__(self, components: Components, root: Mapping, place: Place, block: Block = WHOLE) -> None:
        self.components = components
        self.diagnostics: list[Diagnostic] = []
        opener = Opener(components, self.report)
        self.root = opener.open(block, "", place, root)
        self.scopes = list(self.root.walk())
        self.cells: dict[str, list[_Cell]] = {}
        self.names: dict[str, tuple[str, Place]] = {}
        self.provisions: dict[str, list[tuple[Part, Provision]]] = {}
        self.excused: set[str] = set()  # missing keys that a misspelled one was meant to be

    def report(self, place: Place, key: str, code: Code, message: str, help_lines: tuple[str, ...] = ()) -> None:
        """Add a diagnostic, once."""
        found = Diagnostic(place, key, code, message, help_lines)
        if len(self.diagnostics) < MOST_DIAGNOSTICS and found not in self.diagnostics:
            self.diagnostics.append(found)

    def run(self) -> tuple[Any, Provenance]:
        """Resolve to an object of the block's class (of a whole spec `SpecSections`); None where there is a mistake."""
        for scope in self.scopes:
            self._index(scope)
        for scope in self.scopes:
            self._check_keys(scope)
        self._excuse()
        for cells in list(self.cells.values()):
            for cell in cells:
                self._settle(cell)
        for scope in self.scopes:
            for part in scope.parts:
                self._check_rules(part)
        origins = {path: cells[0].origin for path, cells in self.cells.items() if cells[0].origin is not None}
        origins.update(self._origins_of_names())
        provenance = Provenance({k: v for k, v in origins.items() if v is not None}, self._places())
        if self.diagnostics:
            return None, provenance
        assert self.root.root is not None
        return self._build(self.root.root), provenance

    # The keys of a mapping

    def _index(self, scope: Scope) -> None:
        """List the cells of a scope, the names that its type keys chose, and what its parts provide to others."""
        for key, selector in scope.type_keys.items():
            if selector is not None:
                entry = scope.entry(key)
                self.names[scope.at(key)] = (selector, entry.value.place if entry else scope.place)
        for part, field, slot in scope.slots():
            path = scope.at(slot.key)
            entry = scope.entry(slot.key)
            if isinstance(slot, Option):
                place = entry.value.place if entry else scope.place
                self.cells.setdefault(path, []).append(_Cell(part, field, slot, path, place))
            elif isinstance(slot, Choice) and part.chosen.get(field) and not slot.many:
                found = part.chosen[field][0].found
                assert found is not None
                self.names[path] = (found.selector, entry.value.place if entry else scope.place)
        for part in scope.parts:
            for provision in part.declaration.provisions:
                self.provisions.setdefault(provision.path, []).append((part, provision))

    def _check_keys(self, scope: Scope) -> None:
        """Report keys that no part declares, and keys that two parts declare."""
        owners: dict[str, list[Part]] = {}
        for part, _, slot in scope.slots():
            others = owners.setdefault(slot.key, [])
            if all(p.declaration.cls is not part.declaration.cls for p in others):
                others.append(part)
        for key, parts in owners.items():
            if len(parts) > 1:
                who = " and ".join(f"{p.title} (of {p.found.plugin})" if p.found else p.title for p in parts)
                entry = scope.entry(key)
                place = entry.place if entry else scope.place
                message = f"`{key}` is declared twice in this mapping, by {who}"
                self.report(place, scope.at(key), Code.CONFLICT, message, ("choose another component for one of them",))
        written = scope.mapping.entries.values() if scope.mapping and not scope.opaque else ()
        strangers = [e for e in written if e.key not in owners and e.key not in scope.type_keys]
        scope.unresolved |= misspelled_choices(scope, strangers) if strangers else set()
        for entry in strangers:
            verdict = explain_unknown(entry.key, scope, self.root, self.components)
            if verdict is not None:
                self.report(entry.place, scope.at(entry.key), Code.UNKNOWN_KEY, verdict.message, verdict.help)
                self.excused.update(scope.at(k) for k in verdict.meant)

    def _excuse(self) -> None:
        """Take back that a key is missing where a misspelled one was meant to be it."""
        self.diagnostics = [d for d in self.diagnostics if d.code is not Code.MISSING_KEY or d.key not in self.excused]

    # One value

    def _settle(self, cell: _Cell) -> None:
        """Bring a cell to a known or a wrong value."""
        if cell.state != "new":
            return
        cell.state = "busy"
        entry = cell.part.scope.entry(cell.slot.key)
        try:
            if entry is not None:
                cell.value = structure(entry.value, cell.part.declaration.types[cell.field])
                cell.origin = Written(entry.value.place)
            else:
                cell.value, cell.origin = self._default(cell)
            self._check_range(cell)
            cell.state = "known"
        except MismatchesError as error:
            cell.state = "wrong"
            for one in error.errors:
                message = f"`{cell.slot.key}` {one.message}"
                self.report(one.node.place, cell.path, one.code, message, one.help or (cell.slot.doc,))
        except _UnknownValueError:
            cell.state = "wrong"

    def _check_range(self, cell: _Cell) -> None:
        for check in cell.slot.checks:
            try:
                holds = cell.value is None or check.holds(cell.value)
            except Exception as error:
                what = f"cannot check `{cell.slot.key}`: {type(error).__name__}: {error}"
                self._defect(cell.part, cell.place, cell.path, what)
                raise _UnknownValueError from None
            if not holds:
                message = f"`{cell.slot.key}` must be {check.says}, got {cell.value!r}"
                if isinstance(cell.origin, Default):
                    self._refuse_default(cell, message)
                if not isinstance(cell.origin, Written):
                    message += f" (by default: {cell.origin})"
                self.report(cell.place, cell.path, Code.OUT_OF_RANGE, message, (cell.slot.doc,))
                raise _UnknownValueError

    def _default(self, cell: _Cell) -> tuple[Any, Origin]:
        default = cell.part.scope.default_of(cell.slot)
        wanted = cell.part.declaration.types[cell.field]
        lacking: list[str] = []
        for part, provision in self.provisions.get(cell.path, ()):
            try:
                value = self._provided(cell, part, provision)
            except NotAtHandError as error:
                lacking.append(str(error))
                continue
            if value is not None:
                sources = _absolute(part, provision.sources)
                return as_wanted(value, wanted), Provided(part.title, provision.says, sources)
        if isinstance(default, Derived):
            value, origin = self._derived(cell, default)
            return as_wanted(value, wanted), origin
        if default is not REQUIRED:
            try:
                value = structure(node_of(default, cell.place), wanted)
            except MismatchesError as error:
                self._refuse_default(cell, *(f"`{cell.slot.key}` {one.message}" for one in error.errors))
            return value, Default(cell.part.scope.giver_of(cell.slot, cell.part).title)
        if cell.path not in self.excused and not self._hidden(cell):
            doc = cell.slot.doc.rstrip(".")
            message = f"`{cell.path}` is missing, which {cell.part.title} requires"
            self.report(
                cell.part.scope.place, cell.path, Code.MISSING_KEY, message, (f"{cell.slot.key}: {doc}", *lacking)
            )
        raise _UnknownValueError

    def _refuse_default(self, cell: _Cell, *mistakes: str) -> NoReturn:
        """Report a declared default that is none as a defect of the part that gives it."""
        giver = cell.part.scope.giver_of(cell.slot, cell.part)
        for what in mistakes:
            self.report(cell.place, cell.path, Code.PLUGIN, *wrong_default(giver, cell.path, what))
        raise _UnknownValueError

    def _hidden(self, cell: _Cell) -> bool:
        """Whether a key that is missing here may come from a component whose name could not be resolved."""
        return bool(cell.part.scope.unresolved) and cell.path in self.provisions

    def _provided(self, cell: _Cell, part: Part, provision: Provision) -> Any:
        """What another component provides: None where it provides nothing, or has nothing to work it out from."""
        try:
            return self._call(part, provision.compute, provision.sources, may_refuse=True)
        except KeyError:
            return None
        except ValueError as error:
            place = self._place_of(_absolute(part, provision.sources)[0]) if provision.sources else part.scope.place
            self.report(place, cell.path, Code.RULE, str(error), (f"or set `{cell.path}`",))
        raise _UnknownValueError

    def _derived(self, cell: _Cell, default: Derived) -> tuple[Any, Origin]:
        sources = _absolute(cell.part, default.sources)
        try:
            value = self._call(cell.part, default.compute, default.sources, may_refuse=True)
            return value, Worked(default.says, sources)
        except KeyError as error:
            message = f"`{cell.path}` is missing; its default is {default.says}, and this spec has no `{error.args[0]}`"
            self.report(cell.part.scope.place, cell.path, Code.MISSING_KEY, message, (cell.slot.doc,))
        except ValueError as error:
            self.report(self._place_of(sources[0]), sources[0], Code.RULE, str(error), (f"or set `{cell.path}`",))
        raise _UnknownValueError

    def _call(
        self, part: Part, function: Callable[..., Any], keys: tuple[str, ...], *, may_refuse: bool = False
    ) -> Any:
        """Call a function of a declaration with the values of ``keys``; a crash is reported as its plugin's.

        A function that ``may_refuse`` raises `ValueError` or `NotAtHandError` to say that it gives no default.
        """
        values = [self._value_at(key, part) for key in keys]
        try:
            return function(*values)
        except Exception as error:
            if may_refuse and isinstance(error, ValueError | NotAtHandError):
                raise
            name = getattr(function, "__name__", "a default")
            self._defect(
                part, part.scope.place, part.scope.path, f"failed in `{name}`: {type(error).__name__}: {error}"
            )
            raise _UnknownValueError from None

    def _defect(self, part: Part, place: Place, path: str, what: str) -> None:
        """Report that a declaration itself is wrong, which no change of the spec mends."""
        message = f"{part.title} of {part.plugin} {what}"
        self.report(place, path, Code.PLUGIN, message, ("this is a defect of the plugin",))

    def _value_at(self, source: str, part: Part) -> Any:
        """The value of a key, settled first; raises `_UnknownValueError`, or `KeyError` for no such path."""
        path = _absolute(part, (source,))[0]
        if path in self.names:
            return self.names[path][0]
        cells = self.cells.get(path)
        if not cells:
            raise _UnknownValueError if self._broken_above(path) else KeyError(path)
        mine = [c for c in cells if c.part is part] or cells
        if mine[0].state == "busy":
            self.report(mine[0].place, path, Code.PLUGIN, f"the default of `{path}` depends on itself", ())
            raise _UnknownValueError
        self._settle(mine[0])
        if mine[0].state == "wrong":
            raise _UnknownValueError
        return mine[0].value

    def _broken_above(self, path: str) -> bool:
        """Whether a path does not exist only because of a mistake that has been reported."""
        around = [scope for scope in self.scopes if path.startswith(f"{scope.path}.") or not scope.path]
        reported = [*(d.key for d in self.diagnostics if d.key), *self.excused]
        return any(s.unresolved for s in around) or any(f"{path}.".startswith(f"{key}.") for key in reported)

    # Several values

    def _check_rules(self, part: Part) -> None:
        for one in part.declaration.rules:
            try:
                message = self._call(part, one.check, one.keys)
            except (_UnknownValueError, KeyError):
                continue
            if message is not None and not isinstance(message, str):
                what = f"has a rule `{one.name}` that gave {message!r} rather than a sentence or None"
                self._defect(part, part.scope.place, part.scope.path, what)
            elif message is not None:
                paths = _absolute(part, one.keys)
                values = [self._value_at(key, part) for key in one.keys]
                shown = tuple(f"`{p}` is {as_text(v)}, {self._origin(p)}" for p, v in zip(paths, values, strict=True))
                self.report(self._place_of(paths[0]), paths[0], Code.RULE, message, shown[1:])

    def _origin(self, path: str) -> str:
        """Say where a value came from."""
        cells = self.cells.get(path)
        origin = cells[0].origin if cells else None
        return str(origin) if origin is not None else f"chosen at {self._place_of(path)}"

    def _place_of(self, path: str) -> Place:
        if path in self.names:
            return self.names[path][1]
        cells = self.cells.get(path)
        return cells[0].place if cells else self.root.place

    # The result

    def _build(self, part: Part) -> Any:
        values: dict[str, Any] = {}
        for field, slot in part.declaration.slots.items():
            if isinstance(slot, Option):
                values[field] = next(c for c in self.cells[part.scope.at(slot.key)] if c.part is part).value
            elif isinstance(slot, Choice) and slot.listed is not None and field in part.members:
                roots = (scope.root for scope in part.members[field])
                values[field] = slot.listed(tuple(self._build(root) for root in roots if root is not None))
            elif isinstance(slot, Choice):
                built = [self._build(chosen) for chosen in part.chosen[field]]
                values[field] = tuple(built) if slot.many else built[0]
            elif field in part.blocks:
                inner = part.blocks[field].root
                assert inner is not None
                values[field] = self._build(inner)
        if part.found is not None:
            values.update(selector=part.found.selector, member=part.found.member)
        return part.declaration.cls(**values)

    def _origins_of_names(self) -> dict[str, Origin]:
        found: dict[str, Origin] = {}
        for scope in self.scopes:
            for key in scope.type_keys:
                if entry := scope.entry(key):
                    found[scope.at(key)] = Written(entry.value.place)
            for part, field, slot in scope.slots():
                if isinstance(slot, Choice) and field not in part.members:
                    entry = scope.entry(slot.key)
                    origin = Written(entry.value.place) if entry else Default(scope.giver_of(slot, part).title)
                    found[scope.at(slot.key)] = origin
        return found

    def _places(self) -> dict[str, Place]:
        places = {scope.path: scope.place for scope in self.scopes}
        for scope in self.scopes:
            for _, _, slot in scope.slots():
                entry = scope.entry(slot.key)
                places[scope.at(slot.key)] = entry.place if entry else scope.place
            for key in scope.type_keys:
                entry = scope.entry(key)
                places[scope.at(key)] = entry.place if entry else scope.place
        return places


def _absolute(part: Part, keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(key if "." in key else part.scope.at(key) for key in keys)
