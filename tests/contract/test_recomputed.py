"""Blocks that are run again in the backward pass, with anybody's attention and feed-forward network in them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from stlm.compiler import compile
from stlm.registry.manager import Registry
from stlm.spec import Spec
from stlm.testing.bench import Bench
from tests.contract import checks
from tests.contract.choosing import components
from tests.contract.conftest import CORE

IN_BLOCKS = [(kind, name) for kind, name in components(("attention", "ffn")) if not name.endswith("*")]
TYPE_KEYS = {"attention": "attn_type", "ffn": "ffn_type"}
RECOMPUTED = {**CORE, "activation_checkpointing": "full"}


def trained(model: nn.Module) -> dict[str, Tensor]:
    """The gradients of one step, dropout and added losses included."""
    torch.manual_seed(0)
    checks.objective(model, checks.token_ids()).backward()
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize(("kind", "name"), IN_BLOCKS)
def test_gradients_are_the_very_same(spec, registry: Registry, tmp_path, kind: str, name: str) -> None:
    bench = Bench(tmp_path, registry)
    bench.base["model"]["ffn"]["ffn_dropout"] = 0.2  # where a component has networks of that kind inside
    options = bench.required(registry.find(kind, name).cls)
    chosen = {{"attention": "attn", "ffn": "ffn"}[kind]: {TYPE_KEYS[kind]: name, **options}}
    kept, recomputed = (_built(spec, core, **chosen) for core in (CORE, RECOMPUTED))
    expected, found = trained(kept), trained(recomputed)
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


def _built(spec: Callable[..., Spec], core: dict, **chosen: dict) -> nn.Module:
    return compile(spec(core=core, model={"positional_encoding_type": "none"}, **chosen), "cpu").model.train()
