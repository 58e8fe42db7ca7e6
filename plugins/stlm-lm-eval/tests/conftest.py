"""The package as pip would install it, where it is only a folder; its spec, and a run of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tokens and runs are kept, for all tests."""
    return tmp_path_factory.mktemp("stlm")


@pytest.fixture(scope="session")
def asked(package: None, folder: Path) -> Callable[..., Spec]:
    """Resolve the package's own spec, without its rows where a test says so."""

    def make(*overrides: str) -> Spec:
        paths = (f"general.paths.output_dir={folder / 'out'}", f"general.paths.data_dir={folder / 'data'}")
        return load_spec(PACKAGE / "asked.yaml", ["general.device=cpu", *paths, *overrides])

    return make


@pytest.fixture(scope="session")
def run(asked: Callable[..., Spec]) -> Any:
    """A model that was trained for some steps, with a large step, so that it tells continuations apart."""
    import stlm

    short = ("trainer.max_iters=12", "trainer.eval_interval=12", "trainer.optimizer.lr=0.03")
    return stlm.train(asked(*short, "trainer.eval.mcq_benchmarks=[]", "trainer.eval.text_modeling_eval=false"))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in the package's folder, where its task's rows are."""
    monkeypatch.chdir(PACKAGE)
