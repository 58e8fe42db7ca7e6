"""The package as pip would install it, where it is only a folder; its specs, and networks of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stlm.compiler import compile
from stlm.spec import Spec
from stlm.testing import package_fixtures

SMALL = ("model.hidden_dim=24", "model.context_window=16", "model.num_layers=1", "model.attn.num_kv_heads=2")
package, shipped = package_fixtures(Path(__file__).parents[1])


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
