"""A package known to this process as pip would make it known, before anybody has installed it."""

import importlib
import importlib.metadata
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stlm.registry.discovery import normal, package_of
from stlm.registry.manager import look_again


def put_metadata(package: Path, site: Path) -> None:
    """Write into the folder ``site`` what pip writes of an editable package, but for the path to it."""
    project = _project(package)
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [line for name, own in groups for line in (f"[{name}]", *(f"{k} = {v}" for k, v in own.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@contextmanager
def installed_from(package: Path, site: Path) -> Iterator[None]:
    """Do what ``pip install -e`` does to the folder ``package``, in this process alone; undo it at the end.

    What pip would write goes to the folder ``site``. Where pip has made its components known, nothing is done.
    """
    project = _project(package)
    points = importlib.metadata.entry_points(group="stlm")
    known = {point.name for point in points if normal(package_of(point)) == normal(project["name"])}
    if known >= set(project["entry-points"].get("stlm", {})):
        yield
        return
    put_metadata(package, site)
    added = [str(site), str(package)]
    sys.path[:0] = added
    importlib.invalidate_caches()
    look_again()
    try:
        yield
    finally:
        for path in added:
            sys.path.remove(path)
        for name in [name for name, module in sys.modules.items() if _lies_in(package, module)]:
            del sys.modules[name]
        look_again()


def _lies_in(folder: Path, module: Any) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).is_relative_to(folder)


def _project(package: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    return project
