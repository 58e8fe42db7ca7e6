"""What a spec may say of a mixture, and the mistakes that it is told."""

import pytest

from stlm.compiler import compile
from stlm.registry import make_component
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


def test_no_export_takes_it_for_another_network(small):
    spec = small()
    assert compile(spec, "meta").report.exports.architecture is None
    for name in installed().names("export"):
        assert "model.ffn.ffn_type" in {key for key, _ in make_component("export", name).blockers(spec)}, name
