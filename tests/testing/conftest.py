"""Packages as pip would install them, in folders of the test."""

import importlib
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.conftest import look_again


def metadata_of(package: Path, site: Path) -> None:
    """Write what pip writes of an editable package, but for the path to it."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [line for group, points in groups for line in (f"[{group}]", *(f"{k} = {v}" for k, v in points.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Make a package known to this process until the test ends."""

    def make_known(package: Path) -> None:
        site = tmp_path / f"site-{package.name}"
        metadata_of(package, site)
        monkeypatch.syspath_prepend(site)
        monkeypatch.syspath_prepend(package)
        importlib.invalidate_caches()
        look_again()

    yield make_known
    look_again()
