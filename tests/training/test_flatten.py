"""Any state as tensors and JSON, and back."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from stlm.training.flatten import flatten, named_optimizer_state, numbered_optimizer_state, tensor_paths, unflatten

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
keys = st.text() | st.integers()
states = st.recursive(
    scalars,
    lambda s: st.lists(s) | st.dictionaries(keys, s) | st.lists(s).map(tuple),
    max_leaves=20,
)


@given(states)
def test_any_state_survives_json(state):
    tensors = {}
    assert unflatten(json.loads(json.dumps(flatten(state, "s", tensors))), tensors) == state


def test_tensors_survive_with_their_dtype_wherever_they_stand():
    moments = torch.randn(2, 3).to(torch.bfloat16)
    state = {0: {"step": torch.tensor(3.0), "pair": (moments, [torch.tensor([1, 2])])}, "k": 0.1 + 0.2}
    tensors = {}
    back = unflatten(json.loads(json.dumps(flatten(state, "s", tensors))), tensors)
    assert back[0]["pair"][0].dtype == torch.bfloat16
    assert torch.equal(back[0]["pair"][0], moments)
    assert torch.equal(back[0]["pair"][1][0], torch.tensor([1, 2]))
    assert back["k"] == 0.1 + 0.2


def test_the_tensors_of_a_state_are_known_from_its_json():
    tensors = {}
    state = {"a": [torch.ones(1), (torch.ones(2), {3: torch.ones(3)})], "b": "text"}
    assert sorted(tensor_paths(flatten(state, "s", tensors))) == sorted(tensors) == ["s.a.0", "s.a.1.0", "s.a.1.1.3"]


def test_what_json_cannot_say_is_refused_by_name():
    with pytest.raises(TypeError, match=r"`s.a.0` is a object"):
        flatten({"a": [object()]}, "s", {})


@pytest.mark.parametrize(
    "make", [lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), torch.optim.Adafactor, torch.optim.NAdam]
)
def test_other_optimizers_go_on_where_they_were(make):
    def step(optimizer, parameters, times):
        for seed in times:
            generator = torch.Generator().manual_seed(seed)
            for p in parameters:
                p.grad = torch.randn(p.shape, generator=generator)
            optimizer.step()

    def parameters():
        return [nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(2))]

    names = ["a", "b"]
    straight, broken = parameters(), parameters()
    step(make(straight), straight, range(4))
    first = make(broken)
    step(first, broken, range(2))
    tensors = {}
    text = json.dumps(flatten(named_optimizer_state(first.state_dict(), names), "o", tensors))
    second = make(broken)
    second.load_state_dict(numbered_optimizer_state(unflatten(json.loads(text), tensors), names))
    step(second, broken, range(2, 4))
    assert all(torch.equal(a, b) for a, b in zip(straight, broken, strict=True))


def test_what_an_optimizer_keeps_beside_its_parameters_state_survives():
    state = {"state": {0: {"m": 1}, "rounds": {"done": 3}}, "param_groups": [{"params": [0]}], "slow": [2]}
    named = named_optimizer_state(state, ["a"])
    assert named["state"] == {"a": {"m": 1}, "rounds": {"done": 3}}
    assert numbered_optimizer_state(named, ["a"]) == state
    with pytest.raises(KeyError, match="'a'"):
        numbered_optimizer_state(named, ["b"])
