"""What stlm brings, with what the packages here will bring: from metadata, never by name."""

import tomllib
from collections.abc import Collection

from stlm.registry.discovery import GROUP
from stlm.registry.manager import Registry
from stlm.registry.version import PREFIX
from tests.contract.conftest import PACKAGES


def components(kinds: Collection[str] | None = None) -> list[tuple[str, str]]:
    """List kind and name of what stlm brings, and of what the packages here will; families with their star.

    Packages that are installed beside it have tests of their own, by the same kits.
    """
    found = {(entry.kind, entry.name) for entry in Registry().only({GROUP}).entries()}
    for project in PACKAGES.glob("*/pyproject.toml"):
        points = tomllib.loads(project.read_text())["project"]["entry-points"]["stlm"]
        found |= {tuple(name.split(".", 1)) for name in points if not name.startswith(PREFIX)}  # type: ignore[misc]
    return sorted((kind, name) for kind, name in found if kinds is None or kind in kinds)
