"""The package as pip would install it, where it is only a folder; its specs, and small models of it."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stlm.compiler import compile
from stlm.nn import TransformerCore
from stlm.spec import Spec
from stlm.testing import package_fixtures

SMALL = ("model.hidden_dim=32", "model.context_window=16", "model.ffn.ffn_dim=48", "model.std=0.2")
package, shipped = package_fixtures(Path(__file__).parents[1])


@pytest.fixture
def built(shipped: Callable[..., Spec]) -> Callable[..., Any]:
    """Build a small model of a spec of the package, in evaluation mode."""

    def make(name: str, *overrides: str) -> nn.Module:
        return compile(shipped(name, *SMALL, *overrides), "cpu").model.eval()

    return make


@pytest.fixture(scope="session")
def ids() -> Tensor:
    """Two rows of 16 token ids."""
    return torch.randint(0, 512, (2, 16), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def unshared() -> Callable[[Any], Any]:
    """Copy a model so that each use of a block is a block of its own, in a core that shares nothing."""

    def make(model: Any) -> Any:
        apart = copy.deepcopy(model)
        uses = [copy.deepcopy(block) for block in model.core.uses()]
        apart.core = TransformerCore([(block.attn, block.ffn) for block in uses])
        return apart

    return make


@pytest.fixture
def backward(ids: Tensor) -> Callable[[nn.Module], Tensor]:
    """Give the logits of a model, and leave the gradients of one loss in it."""

    def run(model: nn.Module) -> Tensor:
        logits = model(ids)
        logits.log_softmax(-1)[..., 7].mean().backward()
        return logits.detach()

    return run


@pytest.fixture
def summed() -> Callable[[Sequence[nn.Module]], dict[str, Tensor]]:
    """Add up the gradients of copies, by the name of the parameter."""

    def add(parts: Sequence[nn.Module]) -> dict[str, Tensor]:
        names = dict(parts[0].named_parameters())
        return {name: sum(part.get_parameter(name).grad for part in parts) for name in names}

    return add
