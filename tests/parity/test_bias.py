"""`bias` and `lm_head_bias` say which linear layers have one."""

import pytest
from torch import nn

from stlm.registry.manager import installed
from stlm.spec.declaration import declaration_of
from tests.parity.networks import SMALL, compiled, installed_names

BLOCKS = {"attn": ("attention", "attn_type"), "ffn": ("ffn", "ffn_type")}
WITH_BIAS = [
    (block, type_key, name)
    for block, (kind, type_key) in BLOCKS.items()
    for name in installed_names(kind)
    if "bias" in declaration_of(installed().find(kind, name).cls).slots
]


def _block(block: str, type_key: str, name: str, bias: str) -> nn.Module:
    said = {type_key: name, "bias": bias, "normalization": "layer_norm"}
    model = compiled(SMALL, *(f"model.{block}.{key}={value}" for key, value in said.items())).model
    return model.core.blocks[1].get_submodule(block)


@pytest.mark.parametrize(("block", "type_key", "name"), WITH_BIAS)
@pytest.mark.parametrize("bias", [True, False])
def test_every_linear_layer_of_a_block_has_a_bias_or_none_has(block, type_key, name, bias):
    part = _block(block, type_key, name, str(bias).lower())
    layers = [module for module in part.modules() if isinstance(module, nn.Linear)]
    assert layers
    assert all((layer.bias is not None) is bias for layer in layers)


@pytest.mark.parametrize(("block", "type_key", "name"), WITH_BIAS)
def test_without_bias_a_layer_norm_keeps_its_own(block, type_key, name):
    part = _block(block, type_key, name, "false")
    assert [key for key, _ in part.named_parameters() if key.endswith("bias")] == ["norm.bias"]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tied", ["true", "false"])
def test_a_head_has_a_bias_where_the_spec_says_so(bias, tied):
    overrides = (f"model.lm_head_bias={str(bias).lower()}", f"model.embedding_weight_tying={tied}")
    head = compiled(SMALL, *overrides).model.head
    assert (head.linear.bias is not None) is bias
