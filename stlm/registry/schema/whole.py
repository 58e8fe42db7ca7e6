"""The schema of a whole spec."""

import json
from typing import Any

from stlm.registry.manager import Registry, installed
from stlm.registry.schema.mappings import Definitions, Form
from stlm.spec.declaration import declaration_of
from stlm.spec.sections import SpecSections

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_EXTENDS = (
    "Specs that this one changes: a path from this file, or a list of them, of which a later changes the earlier."
)


def schema(registry: Registry | None = None) -> dict[str, Any]:
    """Give the JSON Schema of what a spec may say, with the components that are installed.

    It accepts all that `stlm check` accepts. The other way round, what it cannot say is left to the check: rules over
    several values, whether a parent can be read, and what a spec is once its parents are merged in.
    """
    definitions = Definitions(registry or installed())
    path = {"type": "string", "minLength": 1}
    whole, part = (definitions.section(SpecSections, Form(part=part)) for part in (False, True))
    return {
        "$schema": DIALECT,
        "description": declaration_of(SpecSections).doc,
        "type": "object",
        "properties": {
            "extends": {"description": _EXTENDS, "anyOf": [path, {"type": "array", "items": path}]},
        },
        "if": {"required": ["extends"]},
        "then": part,
        "else": whole,
        "unevaluatedProperties": False,
        "$defs": dict(sorted(definitions.made.items())),
    }


def own_schema(registry: Registry | None = None) -> dict[str, Any]:
    """Give the schema of stlm alone, whatever else is installed: the one that stands beside the shipped specs."""
    return schema((registry or installed()).only({"stlm"}))


def as_text(document: dict[str, Any]) -> str:
    """Write a schema as a file holds it, a keyword a line, so that changes can be read."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
