"""What a model can be exported as, asked of the registered `export` components before a GPU hour is spent."""

from collections.abc import Iterable
from typing import Any

import attrs

from stlm.registry import make_component
from stlm.registry.blame import blaming_component
from stlm.spec import Place, Spec, SpecError, StlmError
from stlm.spec.diagnostics import shortened


@attrs.frozen
class Blocker:
    """A key that stands in the way of an export, the line that says it (None where nobody wrote it), and why."""

    key: str
    line: int | None
    message: str


@attrs.frozen
class Exportable:
    """The architecture that a model is, or what keeps it from the one that it is nearest to; ``name`` is the export."""

    architecture: str | None
    nearest: str | None
    blockers: tuple[Blocker, ...]
    unasked: tuple[str, ...] = ()  # why an export that is installed could not be asked
    name: str | None = None


def exportable(spec: Spec, only: str | None = None) -> Exportable:
    """Ask every export; the first without blockers wins, else the one with the fewest tells them.

    With ``only``, that one export is asked; raises `SpecError` where there is none of that name, or `WorkError` where
    it fails.
    """
    best: tuple[str, str, list[tuple[str, str]]] | None = None
    unasked = []
    for name in spec.registry.names("export") if only is None else [only]:
        try:
            export = make_component("export", name, registry=spec.registry)
            with blaming_component(export, spec.registry):
                architecture, blockers = str(export.architecture), told_by(export.blockers(spec))
        except StlmError as error:  # a plugin's; the report of a good spec must not die of it
            if only is not None:
                raise
            unasked.append(error.diagnostics[0].message if isinstance(error, SpecError) else str(error))
            continue
        if not blockers:
            return Exportable(architecture, architecture, (), tuple(unasked), name)
        if best is None or len(blockers) < len(best[2]):
            best = (name, architecture, blockers)
    if best is None:
        return Exportable(None, None, (), tuple(unasked))
    name, architecture, blockers = best
    found = tuple(Blocker(key, _line(spec, key), message) for key, message in blockers)
    return Exportable(None, architecture, found, tuple(unasked), name)


def told_by(found: Iterable[Any]) -> list[tuple[str, str]]:
    """Return what an export says is in the way. Raises `TypeError` for what is no key and what must be said there."""
    blockers = list(found)
    for blocker in blockers:
        if not isinstance(blocker, tuple | list) or [type(part) for part in blocker] != [str, str]:
            raise TypeError(f"(key, what it must be) is a pair of texts, which {shortened(repr(blocker))} is not")
    return [(key, message) for key, message in blockers]


def place_of(spec: Spec, key: str) -> Place:
    """Say where a key of a spec was written, or the mapping in which it would be."""
    return spec.provenance.place_of(key) or Place(spec.file or "<spec>", 1, 1)


def _line(spec: Spec, key: str) -> int | None:
    place = spec.provenance.place_of(key)
    return None if place is None else place.line
