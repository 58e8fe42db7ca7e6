"""Where a mistake is told that a component found while it was built."""

import pytest

from stlm.registry.blame import blaming
from stlm.registry.manager import installed
from stlm.spec import SpecError, UsageError


@pytest.mark.parametrize(
    ("named", "told"),
    [("num_heads", "model.attn.num_heads"), ("model.hidden_dim", "model.hidden_dim"), (None, "model.attn.attn_type")],
)
def test_a_key_is_told_beside_the_component_that_names_it_unless_it_is_a_path(named, told, tiny_spec):
    spec = tiny_spec()
    error = UsageError("no", key=named)
    error.stlm_component = spec.model.core_model.attn
    with pytest.raises(SpecError) as caught, blaming(spec, installed()):
        raise error
    assert [found.key for found in caught.value.diagnostics] == [told]


def test_a_key_that_no_component_left_its_name_on_is_the_models(tiny_spec):
    spec = tiny_spec()
    with pytest.raises(SpecError) as caught, blaming(spec, installed()):
        raise UsageError("no", key="hf_load_embeddings")
    assert [found.key for found in caught.value.diagnostics] == ["model.hf_load_embeddings"]
