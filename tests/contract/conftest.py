"""Packages of third parties, installed for these tests alone, and specs that use them."""

import importlib.metadata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stlm.registry.discovery import DISABLE, GROUP, disabled_here, discover, package_of
from stlm.registry.loading import parse_spec
from stlm.registry.manager import Registry
from stlm.spec import Spec
from stlm.spec.canonical import dump_plain
from stlm.testing import installed_from

PACKAGES = Path(__file__).parent / "packages"


@pytest.fixture(scope="module", autouse=True)
def acid_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package `stlm-acid`, installed; others are kept out, for they have tests of their own, by the same kits."""
    others = {package_of(point) for point in importlib.metadata.entry_points(group=GROUP)} - {"stlm", "stlm-acid"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DISABLE, ",".join(sorted(others)))
        with installed_from(PACKAGES / "stlm-acid", tmp_path_factory.mktemp("site-packages")):
            yield


@pytest.fixture
def registry(acid_package: None) -> Registry:
    """A registry that has just looked at what is installed."""
    return Registry(discover(disabled_here()))


CORE = {"core_model_type": "generic", "num_layers": 2}
ATTN = {"attn_type": "causal", "num_kv_heads": 2}
FFN = {"ffn_type": "generic", "ffn_dim": 32}
HEAD = {"lm_head_type": "generic"}


@pytest.fixture
def spec(registry: Registry, tiny_text: Path, tmp_path: Path) -> Callable[..., Spec]:
    """Resolve a spec of 16 dimensions and 2 layers, with the parts that the test is about; weights are drawn widely."""

    def make(
        core: dict[str, Any] = CORE,
        attn: dict[str, Any] = ATTN,
        ffn: dict[str, Any] = FFN,
        head: dict[str, Any] = HEAD,
        model: dict[str, Any] | None = None,
        trainer: dict[str, Any] | None = None,
        general: dict[str, Any] | None = None,
    ) -> Spec:
        text = str(tiny_text)
        network = {
            "model_shell_type": "standard",
            "hidden_dim": 16,
            "context_window": 16,
            "tokenizer_type": "bpe",
            "vocab_size": 300,
            "tokenizer_dataset_name": text,
            "tokenizer_simplify": False,
            "positional_encoding_type": "none",
            "initialization_fn": "normal",
            "std": 0.2,
            "embedding_model_type": "generic",
            **(head | core | {"attn": attn, "ffn": ffn} | (model or {})),
        }
        training = {
            "trainer_type": "base_trainer",
            "dataset": text,
            "validation_fraction": 0.2,
            "dataloader": "standard",
            "datasampling": "standard",
            "batch_size": 4,
            "gradient_accumulation_steps": 2,
            "max_iters": 8,
            "warmup_iters": 2,
            "lr_scheduler": "cosine",
            "loss_fn": "cross_entropy",
            "log_interval": 1,
            "eval_interval": 4,
            "checkpoint_interval": 3,
            "eval": {"dataset_loss_eval_iters": 2},
            "optimizer": {"optimizer_name": "AdamW", "lr": 1e-2},
            **(trainer or {}),
        }
        paths = {"output_dir": str(tmp_path / "out"), "data_dir": str(tiny_text.parent)}
        whole = {"model": network, "trainer": training, "general": {"device": "cpu", "paths": paths, **(general or {})}}
        return parse_spec(dump_plain(whole), registry=registry)

    return make
