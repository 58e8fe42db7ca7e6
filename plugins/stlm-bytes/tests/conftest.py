"""The package as pip would install it, where it is only a folder; its specs, and small models of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stlm.compiler import compile
from stlm.spec import Spec
from stlm.testing import package_fixtures

SMALL = (
    "model.hidden_dim=16",
    "model.context_window=24",
    "model.num_layers=2",
    "model.attn.num_kv_heads=2",
    "model.ffn.ffn_dim=24",
    "model.local_dim=12",
    "model.std=0.3",
)
package, shipped = package_fixtures(Path(__file__).parents[1])


@pytest.fixture
def patched(shipped: Callable[..., Spec]) -> Callable[..., Any]:
    """Build a small model that works on patches, its weights drawn widely, in evaluation mode."""

    def make(*overrides: str) -> Any:
        model = compile(shipped("patches.yaml", *SMALL, *overrides), "cpu").model.eval()
        with torch.no_grad():  # it starts at 0, where nothing could be told of it
            model.head.start.normal_(generator=torch.Generator().manual_seed(0))
        return model

    return make


@pytest.fixture(scope="session")
def ids() -> Callable[..., Tensor]:
    """Draw token ids, (batch, seq)."""

    def draw(batch: int, seq: int, seed: int = 0) -> Tensor:
        return torch.randint(0, 258, (batch, seq), generator=torch.Generator().manual_seed(seed))

    return draw
