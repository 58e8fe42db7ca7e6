"""Which modules of a network are gathered one by one where it is shared out among processes."""

import pytest
from torch import nn

from stlm.compiler import compile
from stlm.nn.parallel import blocks


@pytest.mark.parametrize("tied", [False, True])
def test_the_blocks_of_a_core_are(tiny_spec, tied):
    network = compile(tiny_spec(f"model.embedding_weight_tying={tied}")).model
    assert blocks(network) == list(network.core.blocks)


@pytest.mark.parametrize("key", ["ffn_weight_tying", "c_proj_weight_tying"])
def test_blocks_that_share_parameters_are_not(tiny_spec, key):
    assert blocks(compile(tiny_spec(f"model.{key}=true")).model) == []


def test_a_block_that_shares_with_the_rest_is_not_and_the_others_are():
    network = nn.Module()
    network.body = nn.ModuleDict({"layers": nn.ModuleList(nn.Linear(4, 4) for _ in range(3))})
    network.head = nn.Linear(4, 4)
    network.head.weight = network.body["layers"][1].weight
    assert blocks(network) == [network.body["layers"][0], network.body["layers"][2]]


def test_lists_within_blocks_belong_to_their_block():
    experts = [nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)]) for _ in range(2)]
    network = nn.Sequential(nn.ModuleList(nn.Sequential(one) for one in experts))
    assert blocks(network) == list(network[0])
