"""The package as pip would install it, where it is only a folder; its specs, and networks of them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from stlm.compiler import compile
from stlm.registry.loading import load_spec
from stlm.spec import Spec
from stlm.testing import installed_from

PACKAGE = Path(__file__).parents[1]
SMALL = ("model.hidden_dim=24", "model.context_window=16", "model.num_layers=1", "model.attn.num_kv_heads=2")


@pytest.fixture(scope="session", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make its entry points known for these tests, unless pip has done that already."""
    with installed_from(PACKAGE, tmp_path_factory.mktemp("site")):
        yield


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tokens are kept, for all tests."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def shipped(package: None, data: Path, tmp_path: Path) -> Callable[..., Spec]:
    """Resolve one of the package's own specs, by its file's name; its runs go to the test's folder."""

    def make(name: str, *overrides: str) -> Spec:
        paths = (f"general.paths.output_dir={tmp_path / 'out'}", f"general.paths.data_dir={data}")
        return load_spec(PACKAGE / name, ["general.device=cpu", *paths, *overrides])

    return make


@pytest.fixture
def with_ffn(shipped: Callable[..., Spec]) -> Callable[..., Spec]:
    """Resolve a small spec with a feed-forward network that is said whole."""

    def make(ffn: dict[str, Any], *overrides: str) -> Spec:
        said = ", ".join(f"{key}: {value}" for key, value in ffn.items())
        return shipped("gated.yaml", *SMALL, "model.std=0.2", f"model.ffn={{{said}}}", *overrides)

    return make


@pytest.fixture
def built(with_ffn: Callable[..., Spec]) -> Callable[..., Any]:
    """Build the first feed-forward network of a small spec, in evaluation mode."""

    def make(**ffn: Any) -> torch.nn.Module:
        return compile(with_ffn(ffn), "cpu").model.core.blocks[0].ffn.eval()

    return make
