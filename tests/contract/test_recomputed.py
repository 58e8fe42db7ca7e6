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


def trained(model: nn.Module, run: Callable[[Tensor], Tensor] | None = None) -> dict[str, Tensor]:
    """The gradients of one step, dropout and added losses included."""
    torch.manual_seed(0)
    (run or (lambda ids: checks.objective(model, ids)))(checks.token_ids()).backward()
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


MIXTURE = {
    "ffn_type": "mixture",
    "num_experts": 4,
    "expert": {"ffn_type": "silu_ffn", "ffn_dim": 8},
    "balance_weight": 1.0,
}


def test_a_loss_that_a_block_adds_is_added_once(spec):
    kept, recomputed = (_built(spec, core, ffn=MIXTURE) for core in (CORE, RECOMPUTED))
    losses = [model.token_states(checks.token_ids())[1].losses["mixture_balance"] for model in (kept, recomputed)]
    assert losses[0] == losses[1] > 2  # two layers, each at least its weight
    for loss in losses:
        loss.backward()
    routers = [model.core.blocks[0].ffn.router.weight.grad for model in (kept, recomputed)]
    assert torch.equal(*routers)
    assert routers[0].any()


def test_weights_that_are_used_several_times_are_trained_as_before(spec):
    looped = {"core_model_type": "looped", "layers_per_loop": 2, "num_loops": 3}
    model = _built(spec, looped, ffn=MIXTURE)
    expected = {name: gradient.clone() for name, gradient in trained(model).items()}
    model.zero_grad()
    model.core.loop.recompute_every = 1
    found = trained(model)
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


@pytest.mark.filterwarnings("ignore")  # the compiler warns of what it leaves uncompiled
def test_a_block_that_cannot_be_one_graph_is_trained_as_before(spec):
    """A router's choices have sizes that no graph knows beforehand; so the compiler gives these blocks up."""
    model = _built(spec, RECOMPUTED, ffn=MIXTURE)
    expected = {name: gradient.clone() for name, gradient in trained(model).items()}
    model.zero_grad()
    torch._dynamo.reset()
    found = trained(model, torch.compile(lambda ids: checks.objective(model, ids), backend="aot_eager"))
    torch._dynamo.reset()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5)
