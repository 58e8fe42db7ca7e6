"""What a model can be exported as, asked of the registered `export` components before a GPU hour is spent."""

import attrs

from stlm.registry import make_component
from stlm.registry.manager import Registry
from stlm.spec import Spec, SpecError


@attrs.frozen
class Blocker:
    """A key that stands in the way of an export, the line that says it (None where nobody wrote it), and why."""

    key: str
    line: int | None
    message: str


@attrs.frozen
class Exportable:
    """The architecture that a model is, or what keeps it from the one that it is nearest to."""

    architecture: str | None
    nearest: str | None
    blockers: tuple[Blocker, ...]
    unasked: tuple[str, ...] = ()  # why an export that is installed could not be asked


def exportable(spec: Spec, registry: Registry) -> Exportable:
    """Ask every export; the first without blockers wins, else the one with the fewest tells them."""
    best: tuple[str, list[tuple[str, str]]] | None = None
    unasked = []
    for name in registry.names("export"):
        try:
            export = make_component("export", name, registry=registry)
            blockers = list(export.blockers(spec))
        except SpecError as error:
            unasked.append(error.diagnostics[0].message)
            continue
        except Exception as error:  # a plugin's; the report of a good spec must not die of it
            unasked.append(f"export `{name}` failed: {type(error).__name__}: {error}")
            continue
        if not blockers:
            return Exportable(export.architecture, export.architecture, (), tuple(unasked))
        if best is None or len(blockers) < len(best[1]):
            best = (export.architecture, blockers)
    if best is None:
        return Exportable(None, None, (), tuple(unasked))
    found = tuple(Blocker(key, _line(spec, key), message) for key, message in best[1])
    return Exportable(None, best[0], found, tuple(unasked))


def _line(spec: Spec, key: str) -> int | None:
    place = spec.provenance.place_of(key)
    return None if place is None else place.line
