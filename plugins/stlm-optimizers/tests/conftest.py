"""The package as pip would install it, where it is only a folder; and its specs."""

import contextlib
import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import stlm
from stlm.cli.main import main
from stlm.registry.loading import load_spec
from stlm.spec import Spec
from stlm.testing import package_fixtures

PACKAGE = Path(__file__).parents[1]
SMALL = (
    *("model.hidden_dim=16", "model.context_window=16", "model.vocab_size=300", "model.ffn.ffn_dim=15"),
    *("trainer.batch_size=4", "trainer.gradient_accumulation_steps=2", "trainer.max_iters=8"),
    *("trainer.warmup_iters=2", "trainer.log_interval=1", "trainer.eval_interval=4", "trainer.checkpoint_interval=3"),
    *(
        "trainer.keep_checkpoints=9",
        "trainer.eval.dataset_loss_eval_iters=1",
        "trainer.eval.text_modeling_eval=false",
        "general.device=cpu",
    ),
)
"""Makes any of the specs a matter of a second."""

SHORT = {"muon": ("trainer.decay_iters=3",), "lion": ("trainer.decay_iters=3",)}


package, shipped = package_fixtures(PACKAGE)


@pytest.fixture(scope="session")
def small_in(package: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Spec]:
    """Resolve one of the package's specs, made small; its runs go to a folder, its tokens to one for all tests."""
    data = tmp_path_factory.getbasetemp() / "stlm-data"

    def make(folder: Path, name: str, *overrides: str) -> Spec:
        paths = (f"general.paths.output_dir={folder / 'out'}", f"general.paths.data_dir={data}")
        return load_spec(PACKAGE / f"{name}.yaml", [*SMALL, *SHORT.get(name, ()), *paths, *overrides])

    return make


@pytest.fixture(scope="session")
def whole(small_in: Callable[..., Spec], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Train a spec by the command line, once for all tests."""

    @cache
    def run(name: str) -> Any:
        folder = tmp_path_factory.mktemp(name)
        (folder / "spec.yaml").write_text(small_in(folder, name).dump())
        told = io.StringIO()
        with contextlib.redirect_stdout(told), pytest.raises(SystemExit) as ended:
            main(["train", str(folder / "spec.yaml"), "--json"])
        assert ended.value.code == 0
        return stlm.load_run(json.loads(told.getvalue())["run"])

    return run


@pytest.fixture
def small(shipped: Callable[..., Spec]) -> Callable[..., Spec]:
    """Resolve one of the package's specs, made small; its runs go to the test's folder."""
    return lambda name, *overrides: shipped(f"{name}.yaml", *SMALL, *SHORT.get(name, ()), *overrides)
