"""The package as pip would install it, where it is only a folder; its spec, and mixtures by themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stlm_moe.nn.moe import MixtureOfExperts
from torch import Tensor, nn

from stlm.nn import Context, GatedFeedForward
from stlm.spec import Spec
from stlm.testing import package_fixtures

SMALL = ("hidden_dim=16", "context_window=16", "std=0.2", "attn.num_kv_heads=2", "ffn.expert.ffn_dim=8")
package, shipped = package_fixtures(Path(__file__).parents[1])


@pytest.fixture
def small(shipped: Callable[..., Spec]) -> Callable[..., Spec]:
    """Resolve the package's own spec with a model of 16 dimensions, in which every weight is drawn widely."""
    return lambda *overrides: shipped("mixture.yaml", *(f"model.{said}" for said in SMALL), *overrides)


@pytest.fixture
def mixture() -> Callable[..., MixtureOfExperts]:
    """Make a mixture of gated networks, 12 dimensions wide, without a norm; always the same one."""

    def make(num_experts: int = 8, top_k: int = 2, ffn_dim: int = 10, shared: int = 0, **how: Any) -> MixtureOfExperts:
        torch.manual_seed(0)
        experts = [GatedFeedForward(12, ffn_dim, norm=nn.Identity()) for _ in range(num_experts + shared)]
        made = MixtureOfExperts(
            12, experts[shared:], top_k=top_k, norm=nn.Identity(), shared_experts=experts[:shared], **how
        )
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.normal_(std=0.5)
        return made

    return make


@pytest.fixture
def x() -> Tensor:
    """Three rows of five tokens."""
    return torch.randn(3, 5, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def context() -> Callable[..., Context]:
    """Make the context of a forward pass over three rows of five tokens."""

    def make(segments: Tensor | None = None) -> Context:
        return Context(torch.zeros(3, 5, dtype=torch.long), torch.arange(5).unsqueeze(0), segments)

    return make
