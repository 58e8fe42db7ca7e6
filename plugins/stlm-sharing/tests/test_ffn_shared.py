"""Shared feed-forward networks: which layers share what, and that sharing is all that is changed."""

import json

import pytest
import torch
from safetensors import safe_open

from stlm.compiler import compile
from stlm.nn import cost
from stlm.spec import SpecError
from stlm.training.weights import save_weights

LAYERS, GROUPS = 4, 2
SPEC = ("shared.yaml", f"model.num_layers={LAYERS}", f"model.num_ffn_groups={GROUPS}")


@pytest.mark.parametrize(("num_layers", "num_groups"), [(6, 1), (6, 2), (6, 3), (6, 6)])
def test_the_groups_are_those_of_albert(built, num_layers, num_groups):
    """transformers' own encoder, asked which of its groups each of its layers runs."""
    from transformers import AlbertConfig, AlbertModel

    sizes = {"hidden_size": 8, "embedding_size": 8, "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 9}
    albert = AlbertModel(AlbertConfig(num_hidden_layers=num_layers, num_hidden_groups=num_groups, **sizes))
    theirs = []
    for number, group in enumerate(albert.encoder.albert_layer_groups):
        group.register_forward_hook(lambda *_, number=number: theirs.append(number))
    albert(torch.zeros(1, 3, dtype=torch.long))
    core = built("shared.yaml", f"model.num_layers={num_layers}", f"model.num_ffn_groups={num_groups}").core
    weights = [block.ffn.up.weight for block in core.blocks]
    distinct = list({id(weight): weight for weight in weights}.values())
    assert [next(i for i, one in enumerate(distinct) if one is weight) for weight in weights] == theirs


@pytest.mark.parametrize("share_norm", [True, False])
def test_it_is_a_generic_core_whose_layers_are_copies(built, unshared, backward, summed, share_norm):
    """The same logits; the gradient of a shared weight is the sum of its copies' gradients."""
    model = built(*SPEC, f"model.share_ffn_norm={share_norm}")
    apart = unshared(model)
    assert torch.equal(backward(model), backward(apart))
    for group in range(GROUPS):
        members = range(group * 2, group * 2 + 2)
        ours = model.core.blocks[group * 2].ffn
        for name, gradient in summed([apart.core.blocks[i].ffn for i in members]).items():
            if name.startswith("norm.") and not share_norm:
                continue
            torch.testing.assert_close(ours.get_parameter(name).grad, gradient)
    norms = [block.ffn.norm.weight for block in model.core.blocks]
    assert len({id(norm) for norm in norms}) == (GROUPS if share_norm else LAYERS)
    for layer in range(LAYERS):
        ours, theirs = model.core.blocks[layer].attn, apart.core.blocks[layer].attn
        torch.testing.assert_close(ours.qkv.weight.grad, theirs.qkv.weight.grad)


@pytest.mark.parametrize("tied", [True, False])
def test_layers_share_their_output_projection_only_where_that_is_said(built, unshared, backward, tied):
    """The same logits as of copies; the gradient of a shared projection is the sum of theirs, else each its own."""
    model = built(*SPEC, f"model.c_proj_weight_tying={tied}")
    apart = unshared(model)
    assert torch.equal(backward(model), backward(apart))
    ours = [block.attn.out_proj.weight for block in model.core.blocks]
    theirs = [block.attn.out_proj.weight.grad for block in apart.core.blocks]
    assert len({id(weight) for weight in ours}) == (1 if tied else LAYERS)
    for weight, gradient in zip(ours, theirs, strict=True):
        torch.testing.assert_close(weight.grad, sum(theirs) if tied else gradient)


def test_parameters_count_once_and_operations_in_each_layer(shipped):
    shared, generic = (compile(shipped(*SPEC, f"model.num_ffn_groups={n}"), "meta") for n in (GROUPS, LAYERS))
    in_ffn = 3 * 64 * 256
    saved = generic.report.parameters.total - shared.report.parameters.total
    assert saved == (LAYERS - GROUPS) * in_ffn
    assert shared.report.flops_per_token == generic.report.flops_per_token
    assert cost.cast_elements(generic.model) - cost.cast_elements(shared.model) == saved


def test_a_file_names_shared_weights_once(built, tmp_path):
    save_weights(built(*SPEC), tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        names, further = set(file.keys()), json.loads(file.metadata()["shared"])
    assert {name for name in names if name.endswith("ffn.up.weight")} == {
        "core.blocks.0.ffn.up.weight",
        "core.blocks.2.ffn.up.weight",
    }
    assert further["core.blocks.3.ffn.up.weight"] == "core.blocks.2.ffn.up.weight"


def test_uneven_groups_are_told_which_are_even(shipped):
    with pytest.raises(SpecError) as caught:
        shipped("shared.yaml", "model.num_ffn_groups=3")
    (found,) = caught.value.diagnostics
    assert (found.key, found.code.value) == ("model.num_ffn_groups", "rule")
    assert "may be 1, 2, 4, 8" in found.message
