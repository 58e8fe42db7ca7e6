"""Where a mistake is told that a component found while it was built."""

import json
from typing import Any

import pytest

from stlm.compiler import compile
from stlm.registry import choice, component, parse_spec
from stlm.registry.blame import blaming
from stlm.spec import SpecError, UsageError, WorkError


@pytest.mark.parametrize(
    ("named", "told"),
    [("num_heads", "model.attn.num_heads"), ("model.hidden_dim", "model.hidden_dim"), (None, "model.attn.attn_type")],
)
def test_a_key_is_told_beside_the_component_that_names_it_unless_it_is_a_path(named, told, tiny_spec):
    spec = tiny_spec()
    error = UsageError("no", key=named)
    error.stlm_component = spec.model.core_model.attn
    with pytest.raises(SpecError) as caught, blaming(spec):
        raise error
    assert [found.key for found in caught.value.diagnostics] == [told]


def test_a_key_that_no_component_left_its_name_on_is_the_models(tiny_spec):
    spec = tiny_spec()
    with pytest.raises(SpecError) as caught, blaming(spec):
        raise UsageError("no", key="hf_load_embeddings")
    assert [found.key for found in caught.value.diagnostics] == ["model.hf_load_embeddings"]


def test_a_full_disk_is_no_mistake_of_the_spec(tiny_spec):
    spec = tiny_spec()
    error = OSError(28, "No space left on device", "data/tokenizers/x")
    error.stlm_component = spec.model.core_model.attn
    with pytest.raises(WorkError) as caught, blaming(spec):
        raise error
    said = "attention `causal` of stlm cannot be built: `data/tokenizers/x`: No space left on device"
    assert str(caught.value) == said


def test_who_builds_a_part_with_too_few_arguments_is_told_and_not_the_part(tiny_spec, with_plugins):
    @component("attention", "hasty")
    class Hasty:
        """Forgets the width of its norm."""

        normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance.")

        def build(self, model: Any) -> Any:
            return self.normalization.build(model)

    registry = with_plugins({"stlm-hasty": [Hasty]})
    plain = tiny_spec().to_plain()
    plain["model"]["attn"] = {"attn_type": "hasty"}
    spec = parse_spec(json.dumps(plain), registry=registry)
    with pytest.raises(SpecError) as caught:
        compile(spec, "meta")
    (found,) = caught.value.diagnostics
    assert found.message.startswith("attention `hasty` of stlm-hasty cannot be built: TypeError: RMSNorm.build()")
