"""The language as a JSON Schema (2020-12), written from the declarations of what is installed, for editors."""

from stlm.registry.schema.whole import as_text, own_schema, schema

__all__ = ["as_text", "own_schema", "schema"]
