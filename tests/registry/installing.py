"""Packages as pip leaves them in a folder on the path: modules, and a `.dist-info` that names their entry points."""

from collections.abc import Mapping
from pathlib import Path

NORM = '''\
from stlm.registry import component


@component("norm", "{name}")
class Toy:
    """A toy norm."""

    def build(self, model, dim): ...
'''


def put_package(
    site: Path,
    name: str,
    entries: Mapping[str, str] | bytes,
    modules: Mapping[str, str] | None = None,
    version: str = "1.0",
) -> None:
    """Install a package: its entry points (or what their file holds instead) and the text of its modules."""
    site.mkdir(exist_ok=True)
    for module, text in (modules or {}).items():
        (site / f"{module}.py").write_text(text)
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text("".join(f"{module}.py,,\n" for module in modules or {}))
    if isinstance(entries, bytes):
        (info / "entry_points.txt").write_bytes(entries)
    else:
        lines = (f"{entry} = {target}\n" for entry, target in entries.items())
        (info / "entry_points.txt").write_text("[stlm]\n" + "".join(lines))


def put_norm(site: Path, package: str, name: str, text: str | None = None, **entries: str) -> None:
    """Install a package with one norm, or with the text that stands where its norm should."""
    module = package.replace("-", "_")
    body = NORM.format(name=name) if text is None else text
    put_package(site, package, {f"norm.{name}": f"{module}:Toy", **entries}, {module: body})
