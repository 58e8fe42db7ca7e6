"""The package as pip would install it, where it is only a folder; and its spec."""

import importlib
import importlib.metadata
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stlm.registry.loading import load_spec
from stlm.registry.manager import installed
from stlm.spec import Spec

PACKAGE = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make its entry point known for these tests, unless pip has done that already."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    if any(point.name == "hook.tensorboard" for point in importlib.metadata.entry_points(group="stlm")):
        yield
        return
    site = tmp_path_factory.mktemp("site")
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = "".join(f"{name} = {target}\n" for name, target in project["entry-points"]["stlm"].items())
    (info / "entry_points.txt").write_text(f"[stlm]\n{points}")
    added = [str(site), str(PACKAGE)]
    sys.path[:0] = added
    importlib.invalidate_caches()
    installed.cache_clear()
    yield
    for path in added:
        sys.path.remove(path)
    installed.cache_clear()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tokens are kept, for all tests."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def watched(package: None, data: Path, tmp_path: Path) -> Callable[..., Spec]:
    """Resolve the package's own spec; its runs go to the test's folder."""

    def make(*overrides: str) -> Spec:
        paths = (f"general.paths.output_dir={tmp_path / 'out'}", f"general.paths.data_dir={data}")
        return load_spec(PACKAGE / "watched.yaml", ["general.device=cpu", *paths, *overrides])

    return make
