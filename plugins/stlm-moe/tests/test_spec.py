"""What a spec may say of a mixture, and the mistakes that it is told."""

from typing import Any

import attrs
import pytest
import torch

from stlm.compiler import compile
from stlm.nn import cost
from stlm.registry import build_in_layer, make_component
from stlm.registry.describe import describe_component
from stlm.registry.manager import installed
from stlm.spec import SpecError


def mistakes(small, *overrides):
    with pytest.raises(SpecError) as caught:
        small(*overrides)
    return {(found.key, found.code.value) for found in caught.value.diagnostics}


def test_a_mistake_is_told_at_its_key(small):
    assert mistakes(small, "model.ffn.top_k=9") == {("model.ffn.top_k", "rule")}
    assert mistakes(small, "model.ffn.top_k=1", "model.ffn.normalize_weights=true") == {
        ("model.ffn.normalize_weights", "rule")
    }
    assert mistakes(small, "model.ffn.expert.ffn_dims=3") == {("model.ffn.expert.ffn_dims", "unknown-key")}
    assert mistakes(small, "model.ffn.router_jitter=1.5") == {("model.ffn.router_jitter", "out-of-range")}


def test_weights_are_normalized_where_there_is_more_than_one(small):
    for top_k, normalized in ((1, False), (2, True)):
        assert small(f"model.ffn.top_k={top_k}").model.core_model.ffn.normalize_weights is normalized


def test_experts_have_no_norm_of_their_own_unless_they_say_so(small):
    expert = next(o for o in describe_component("ffn", "moe")["options"] if o["key"] == "expert")
    assert "`normalization: none` unless it says otherwise" in expert["takes"]
    for said, norms in (((), 1), (("model.ffn.expert.normalization=layer_norm",), 9)):
        ffn = compile(small(*said), "meta").model.core.blocks[0].ffn
        assert sum("norm" in name for name, _ in ffn.named_parameters() if name.endswith("weight")) == norms


def test_experts_may_be_mixtures(small):
    inner = "{ffn_type: moe, num_experts: 2, top_k: 1, expert: {ffn_type: generic, ffn_dim: 8}}"
    model = compile(small(f"model.ffn.expert={inner}"), "cpu").model.eval()
    ids = torch.randint(1024, (2, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model(ids[:, :9]), model(ids)[:, :9])  # no token hears of a later one
    inside, generic = 2 * 16 * 8, 3 * 16 * 8  # two projections, the inner router's beside them, against three
    own, plain = (cost.flops_per_token(one.core.blocks[0].ffn, 16) for one in (model, compile(small(), "meta").model))
    assert plain - own == 2 * 2 * (generic - inside - 16 * 2)


class Noting:
    """Builds an expert, and notes the layer that it is told."""

    def __init__(self, expert: Any) -> None:
        self.expert = expert
        self.told: list[int] = []

    def build(self, model: Any, layer: int) -> Any:
        self.told.append(layer)
        return build_in_layer(self.expert, model, layer)


def test_experts_are_told_the_layer_of_their_mixture(small):
    model = small("model.ffn.num_shared_experts=1").model
    noting = Noting(model.core_model.ffn.expert)
    mixture = attrs.evolve(model.core_model.ffn, expert=noting)
    for layer in (0, 3):
        build_in_layer(mixture, model, layer)
    assert noting.told == [0] * (8 + 1) + [3] * (8 + 1)


def test_defaults_are_those_that_the_readme_names():
    described = {one["key"]: one["default"] for one in describe_component("ffn", "moe")["options"]}
    named = {"top_k": 2, "num_shared_experts": 0, "load_balancing_weight": 0.01, "router_z_loss_weight": 0.0}
    named |= {"router_jitter": 0.0, "normalization": "rms_norm"}
    assert {key: described[key] for key in named} == named


def test_no_export_takes_it_for_another_network(small):
    spec = small()
    assert compile(spec, "meta").report.exports.architecture is None
    for name in installed().names("export"):
        assert "model.ffn.ffn_type" in {key for key, _ in make_component("export", name).blockers(spec)}, name
