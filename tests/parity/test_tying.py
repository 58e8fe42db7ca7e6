"""What the spec ties is one parameter: one storage, counted once, saved once, with the sum of all gradients."""

import pytest
import torch
from safetensors import safe_open

from stlm import compile
from stlm.training.weights import load_weights, save_weights
from tests.parity.networks import SMALL, TOLERANCE, Batch, Compiled, compare_by_hand, compiled, objective

EMBEDDING, HEAD = "embedder.token_embedding.weight", "head.linear.weight"
BLOCKS = [f"core.blocks.{i}" for i in range(3)]

TIES = {
    "embedding_weight_tying": [[EMBEDDING, HEAD]],
    "ffn_weight_tying": [
        [f"{block}.ffn.{part}" for block in BLOCKS] for part in ("up.weight", "up.bias", "down.weight", "down.bias")
    ],
    "c_proj_weight_tying": [[f"{block}.attn.out_proj.{part}" for block in BLOCKS] for part in ("weight", "bias")],
}
"""Which names stand for one parameter, for each key."""

IDS = torch.randint(40, (2, 9), generator=torch.Generator().manual_seed(0))
every_tie = pytest.mark.parametrize("key", TIES)


def _three_blocks(key: str, tied: bool, seed: int | None = 0) -> Compiled:
    said = {"num_layers": 3, "attn.bias": "true", "ffn.bias": "true", "embedding_weight_tying": "false"}
    said[key] = str(tied).lower()
    return compiled(SMALL, *(f"model.{one}={value}" for one, value in said.items()), seed=seed)


def _named(model) -> dict[str, torch.nn.Parameter]:
    return dict(model.named_parameters(remove_duplicate=False))


@every_tie
def test_a_tied_weight_is_one_storage_and_counted_once(key):
    tied, apart = _three_blocks(key, True), _three_blocks(key, False)
    named = _named(tied.model)
    saved = sum((len(names) - 1) * named[names[0]].numel() for names in TIES[key])
    for names in TIES[key]:
        assert len({named[name].data_ptr() for name in names}) == 1
        assert len({_named(apart.model)[name].data_ptr() for name in names}) == len(names)
    count = [compile(one.spec, "meta").report.parameters.total for one in (tied, apart)]
    assert count[1] - count[0] == saved > 0
    assert count[0] == sum(p.numel() for p in tied.model.parameters())


@every_tie
def test_nothing_else_is_tied(key):
    named = _named(_three_blocks(key, True).model)
    distinct = {p.data_ptr() for p in named.values()}
    assert len(distinct) == len(named) - sum(len(names) - 1 for names in TIES[key])


@every_tie
def test_a_tied_weight_is_saved_once_and_one_after_loading(key, tmp_path):
    made, other = _three_blocks(key, True), _three_blocks(key, True, seed=1)
    save_weights(made.model, tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        stored = set(file.keys())
    load_weights(other.model, tmp_path / "model.safetensors")
    named = _named(other.model)
    for names in TIES[key]:
        assert len(stored & set(names)) == 1
        assert len({named[name].data_ptr() for name in names}) == 1
    assert torch.equal(made.model(IDS), other.model(IDS))
    with torch.no_grad():
        named[TIES[key][0][-1]].zero_()
    assert not named[TIES[key][0][0]].any()


@every_tie
def test_the_gradient_of_a_tied_weight_is_the_sum_over_its_uses(agree, key):
    tied, apart = _three_blocks(key, True), _three_blocks(key, False)
    mine, theirs = _named(tied.model), _named(apart.model)
    with torch.no_grad():
        for name, parameter in theirs.items():
            parameter.copy_(mine[name])
    outputs = [(tied.model(IDS), apart.model(IDS))]
    for logits in outputs[0]:
        objective(logits.flatten(0, 1)).backward()
    gradients = [(mine[names[0]].grad, sum(theirs[name].grad for name in names)) for names in TIES[key]]
    assert all(theirs[name].grad.abs().max() > 0.01 for names in TIES[key] for name in names)
    component = "embedding.generic" if key == "embedding_weight_tying" else "core_model.generic"
    agree(component, "itself untied, gradients summed", outputs, gradients, tolerance=TOLERANCE)


@every_tie
@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_model_is_the_formulas(agree, key, tied):
    compare_by_hand(agree, _three_blocks(key, tied), Batch(IDS))


def test_blocks_that_share_a_feed_forward_network_keep_norms_of_their_own():
    made = _three_blocks("ffn_weight_tying", True)
    assert len({_named(made.model)[f"{block}.ffn.norm.weight"].data_ptr() for block in BLOCKS}) == 3
