"""Every value of a resolved spec with its origin, as rows."""

from typing import Any

import attrs

from stlm.spec.load import Spec
from stlm.spec.provenance import Default, Origin, Provided, Worked, Written


@attrs.frozen
class Explained:
    """One value: its path, where it came from, and, where it was worked out, what from."""

    path: str
    value: Any
    origin: Origin
    sources: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The row as plain values; ``from`` is ``file``, ``override``, ``default``, ``derived`` or ``provided``."""
        out: dict[str, Any] = {"path": self.path, "value": self.value, "from": "default", "says": str(self.origin)}
        if isinstance(self.origin, Written):
            place = self.origin.place
            out["from"] = "override" if place.is_override else "file"
            out.update(file=place.file, line=place.line, column=place.column)
        elif isinstance(self.origin, Default):
            out["owner"] = self.origin.owner
        else:
            out["from"] = "derived" if isinstance(self.origin, Worked) else "provided"
            out.update(rule=self.origin.says, sources=self.sources)
        return out


def explain(spec: Spec) -> list[Explained]:
    """List every value of a spec in canonical order."""
    values = dict(_flat(spec.to_plain(), ""))
    rows = []
    for path, value in values.items():
        origin = spec.provenance.origin_of(path)
        if origin is not None:
            names = origin.sources if isinstance(origin, Worked | Provided) else ()
            rows.append(Explained(path, value, origin, {name: values.get(name) for name in names}))
    return rows


def _flat(plain: dict[str, Any], path: str) -> Any:
    for key, value in plain.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from _flat(value, here)
            continue
        yield here, value
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield from _flat({str(number): item for number, item in enumerate(value)}, here)
