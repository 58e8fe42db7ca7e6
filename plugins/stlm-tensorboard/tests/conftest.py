"""The package as pip would install it, where it is only a folder; and its spec."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stlm.registry.loading import load_spec
from stlm.spec import Spec
from stlm.testing import installed_from

PACKAGE = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make its entry point known for these tests, unless pip has done that already."""
    with installed_from(PACKAGE, tmp_path_factory.mktemp("site")):
        yield


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
