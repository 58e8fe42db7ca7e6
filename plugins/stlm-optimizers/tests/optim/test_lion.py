"""Lion beside the published one."""

import lion_pytorch
import torch
from stlm_optimizers.components.lion import Lion as Component
from stlm_optimizers.optim.lion import Lion


def test_its_steps_are_those_of_lion_pytorch(compared):
    """In 32 bits; theirs adds two products where ours interpolates, which rounds once less.

    A sign could differ only where a direction is 0 but for rounding, of which there is none among these.
    """
    how = {"betas": (0.9, 0.99), "weight_decay": 0.3}
    rates = [0.01 * (1 + step % 3) for step in range(12)]
    pairs = compared([(5, 7), (3,), ()], lambda p: Lion(p, **how), lambda p: lion_pytorch.Lion(p, **how), rates=rates)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def test_a_tensor_without_a_gradient_stays_as_it_is():
    moved, other = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    lion = Lion([moved, other], lr=0.1, weight_decay=0.5)
    moved.grad = torch.tensor([3.0, -1e-9])
    lion.step()
    torch.testing.assert_close(moved.detach(), torch.tensor([0.95 - 0.1, 0.95 + 0.1]))
    assert other.tolist() == [1.0, 1.0]


def test_vectors_are_not_decayed(network):
    decayed, others = Component(weight_decay=0.3).build(None, network, "cpu").param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert {p.ndim for p in decayed["params"]} == {2, 3}
    assert {p.ndim for p in others["params"]} == {1}
