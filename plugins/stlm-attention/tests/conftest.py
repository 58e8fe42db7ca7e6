"""The package as pip would install it, where it is only a folder; its specs, and what several tests measure."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import stlm
from stlm.nn import cost
from stlm.nn.modes import autocast
from stlm.registry.loading import load_spec
from stlm.spec import Spec
from stlm.testing import installed_from

PACKAGE = Path(__file__).parents[1]


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
def goes_on(shipped: Callable[..., Spec]) -> Callable[[str], None]:
    """Train a shipped spec for six steps, take away the last checkpoint as if the run had been killed, and go on."""

    def check(name: str) -> None:
        short = ("max_iters=6", "checkpoint_interval=3", "eval_interval=6", "log_interval=1", "keep_checkpoints=9")
        spec = shipped(name, *(f"trainer.{key}" for key in short), "trainer.eval.text_modeling_eval=false")
        run = stlm.train(spec)
        losses = [line["loss"] for line in run.metrics]
        assert losses[-1] < losses[0]
        shutil.rmtree(run.folder / "checkpoints" / "step-6")
        again = stlm.train(spec, resume=run.folder)
        assert again.step == 6
        assert [line["loss"] for line in again.metrics] == losses

    return check


@pytest.fixture
def share_foretold() -> Callable[[Spec, str], float]:
    """Of the bytes that are kept for the backward pass, how large a share is foretold."""

    def measure(spec: Spec, precision: str) -> float:
        model = stlm.compile(spec, "cpu").model.train()
        ids = torch.randint(512, (2, spec.model.context_window), generator=torch.Generator().manual_seed(0))
        width = 2 if precision == "bf16" else 4
        foretold = ids.numel() * cost.saved_bytes_per_token(model, ids.shape[1], width)
        foretold += width * cost.cast_elements(model) if width < 4 else 0
        return foretold / _kept_by_autograd(model, ids, precision)

    return measure


def _kept_by_autograd(model: nn.Module, ids: Tensor, precision: str) -> int:
    """Sum the bytes of each storage that is kept, parameters aside."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    storages: dict[int, int] = {}
    alive = []  # so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        alive.append(tensor)
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with autocast(torch.device("cpu"), precision), hooks:
        model(ids)
    return sum(size for address, size in storages.items() if address not in parameters)
