"""Blocks are told their number, as an attention whose start depends on depth asks for it; and the defaults."""

from typing import Any

import attrs
import pytest

from stlm.compiler import compile
from stlm.registry import build_in_layer
from stlm.registry.describe import describe_component

CORES = {
    "looped.yaml": ("model.num_blocks=3", "model.num_loops=2"),
    "shared.yaml": ("model.num_layers=4", "model.num_ffn_groups=2"),
}


class Noting:
    """Builds what a part builds, and notes the number that it is told."""

    def __init__(self, part: Any) -> None:
        self.part = part
        self.told: list[int] = []

    def build(self, model: Any, layer: int) -> Any:
        self.told.append(layer)
        return build_in_layer(self.part, model, layer)


@pytest.mark.parametrize(("name", "blocks"), [("looped.yaml", 3), ("shared.yaml", 4)])
def test_attention_and_network_are_told_the_number_of_their_block(shipped, name, blocks):
    """In a looped core that of the block, however often it is run."""
    model = shipped(name, *CORES[name]).model
    core = model.core_model
    attn, ffn = Noting(core.attn), Noting(core.ffn)
    built = attrs.evolve(core, attn=attn, ffn=ffn).build(model)
    assert attn.told == ffn.told == [*range(blocks)]
    assert len(built.blocks) == blocks


@pytest.mark.parametrize(
    ("name", "starts"),
    [("looped.yaml", [0.2, 0.355509, 0.470713]), ("shared.yaml", [0.2, 0.355509, 0.470713, 0.556058])],
)
def test_differential_attention_starts_from_the_lambda_of_its_block(shipped, name, starts):
    """0.8 - 0.6·e^(-0.3·l) by block l, counted from 0."""
    pytest.importorskip("stlm_attention", reason="needs the package stlm-attention")
    differential = "model.attn={attn_type: differential, num_kv_heads: 2, num_q_heads: 2}"
    blocks = compile(shipped(name, *CORES[name], differential), "meta").model.core.blocks
    assert [block.attn.lambda_init for block in blocks] == pytest.approx(starts, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("ffn_shared", {"num_ffn_groups": 1, "share_ffn_norm": False, "c_proj_weight_tying": False}),
        ("ffn_shared", {"activation_checkpointing": "none"}),
        ("looped", {"loop_order": "cycle", "loop_embedding": False, "input_injection": False}),
        ("looped", {"activation_checkpointing": "none"}),
    ],
)
def test_defaults_are_those_that_the_readme_names(name, defaults):
    described = {one["key"]: one["default"] for one in describe_component("core_model", name)["options"]}
    assert {key: described[key] for key in defaults} == defaults
