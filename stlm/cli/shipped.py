"""The specs that are shipped with stlm."""

from pathlib import Path

import stlm

SCHEMA = "stlm.schema.json"
"""The file beside a spec in which editors look up what it may say; the shipped specs name it in their first lines."""


def folder() -> Path:
    """The folder of the shipped specs: inside the installed package, or beside it in a checkout."""
    inside = Path(stlm.__file__).parent / "specs"
    return inside if inside.is_dir() else Path(stlm.__file__).parent.parent / "specs"


def names() -> list[str]:
    """The names of the shipped specs."""
    return sorted(path.stem for path in folder().glob("*.yaml"))
