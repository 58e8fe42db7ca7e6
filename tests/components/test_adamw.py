"""What the optimizer decays, and that it is AdamW with its bias correction."""

import math
from types import SimpleNamespace

import torch
from torch import nn

from stlm.components.optimizer.adamw import AdamW


def network() -> nn.Module:
    model = nn.ModuleDict({"embed": nn.Embedding(7, 4), "norm": nn.LayerNorm(4), "out": nn.Linear(4, 7)})
    model["out"].weight = model["embed"].weight
    model["frozen"] = nn.Linear(4, 4).requires_grad_(False)
    return model


def test_matrices_decay_and_vectors_do_not():
    model = network()
    decayed, others = AdamW(weight_decay=0.3).build(SimpleNamespace(), model, "cpu").param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert {id(p) for p in decayed["params"]} == {id(model["embed"].weight)}
    assert {id(p) for p in others["params"]} == {id(p) for p in (*model["norm"].parameters(), model["out"].bias)}


def test_a_shared_parameter_is_optimized_once():
    groups = AdamW().build(SimpleNamespace(), network(), "cpu").param_groups
    ids = [id(p) for group in groups for p in group["params"]]
    assert len(ids) == len(set(ids)) == 4


def test_epsilon_is_1e_minus_8_which_a_tiny_gradient_tells():
    model = nn.Module()
    model.weight = nn.Parameter(torch.tensor([[0.0]]))
    adam = AdamW(lr=0.1, weight_decay=0.0).build(SimpleNamespace(), model, "cpu")
    model.weight.grad = torch.tensor([[1e-7]])
    adam.step()
    assert math.isclose(model.weight.item(), -0.1 * 1e-7 / (1e-7 + 1e-8), rel_tol=1e-5)


def test_two_steps_are_those_of_the_paper():
    weight = nn.Parameter(torch.tensor([[2.0]]))
    model = nn.Module()
    model.weight = weight
    adam = AdamW(lr=0.1, weight_decay=0.5, beta1=0.9, beta2=0.99).build(SimpleNamespace(), model, "cpu")
    expected, m, v = 2.0, 0.0, 0.0
    for step, gradient in enumerate((3.0, -1.0), start=1):
        weight.grad = torch.tensor([[gradient]])
        adam.step()
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
        expected -= 0.1 * 0.5 * expected
        expected -= 0.1 * (m / (1 - 0.9**step)) / (math.sqrt(v / (1 - 0.99**step)) + 1e-8)
    assert math.isclose(weight.item(), expected, rel_tol=1e-6)


def test_the_kernel_of_a_step_is_the_fast_one_of_its_device():
    """Many tensors at once on CPUs; in one kernel on CUDA, where the parameters need not be for the choice."""
    for device, kernel in (("cpu", (True, None)), ("cuda", (None, True))):
        groups = AdamW().build(SimpleNamespace(), network(), device).param_groups
        assert [(group["foreach"], group["fused"]) for group in groups] == [kernel] * 2
