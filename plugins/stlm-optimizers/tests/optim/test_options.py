"""Every option of every optimizer does what its name says, from the declaration to the weights."""

import lion_pytorch
import pytest
import pytorch_optimizer
import schedulefree
import torch
from torch import nn

from stlm.registry import make_component
from stlm.spec.declaration import declaration_of

MEANS = {"lr": 0.02, "weight_decay": 0.3, "beta1": 0.5, "beta2": 0.6}
ADAMWS = {"adamw_lr": 0.01, "adamw_weight_decay": 0.2, "adamw_beta1": 0.5, "adamw_beta2": 0.6}
MUONS = {"momentum": 0.5, "nesterov": False, "ns_steps": 3, "adjust_lr": "original"}
OTHER = {
    "Lion": MEANS,
    "Muon": {"lr": 0.02, "weight_decay": 0.3, **MUONS, **ADAMWS},
    "SOAP": {**MEANS, "shampoo_beta": 0.7, "precondition_frequency": 2, "max_precond_dim": 8},
    "schedule_free": MEANS,
}
"""Values that are no defaults, and no two alike where two could be taken for each other."""

OF_OTHERS = {"min_lr", "grad_clip"}
"""Options that the schedule and the training loop read."""

each = pytest.mark.parametrize("name", OTHER)


class Small(nn.Module):
    """A table, matrices as wide as they are high and not, biases and gains."""

    def __init__(self):
        super().__init__()
        self.table, self.gain = nn.Embedding(20, 8), nn.LayerNorm(8)
        self.square, self.high = nn.Linear(8, 8), nn.Linear(8, 12)


def of_small(name, options):
    """A network with an optimizer made as a spec would make it."""
    torch.manual_seed(0)
    network = Small()
    return network, make_component("optimizer", name, options).build(None, network, "cpu")


def stepped(network, optimizer, count=6, length=1.0):
    random = torch.Generator().manual_seed(1)
    for _ in range(count):
        for p in network.parameters():
            p.grad = length * torch.randn(p.shape, generator=random)
        optimizer.step()
    return {name: p.detach().clone() for name, p in network.named_parameters()}


@each
def test_no_option_is_left_out_here(name):
    options = set(declaration_of(type(make_component("optimizer", name))).slots)
    assert options - OF_OTHERS == set(OTHER[name])


@pytest.mark.parametrize(("name", "option"), [(name, option) for name in OTHER for option in OTHER[name]])
def test_every_option_matters_to_the_weights(name, option):
    all_others = stepped(*of_small(name, OTHER[name]))
    but_one = stepped(*of_small(name, {key: value for key, value in OTHER[name].items() if key != option}))
    assert any(not torch.equal(all_others[key], but_one[key]) for key in all_others)


def groups(network):
    """Parameters that decay and those that do not, told by hand."""
    decayed = [network.table.weight, network.square.weight, network.high.weight]
    others = [*network.gain.parameters(), network.square.bias, network.high.bias]
    return [{"params": decayed, "weight_decay": 0.3}, {"params": others, "weight_decay": 0.0}]


def published_schedule_free(params, **how):
    optimizer = schedulefree.AdamWScheduleFree(params, **how)
    optimizer.train()
    return optimizer


PUBLISHED = {
    "Lion": lambda params: lion_pytorch.Lion(params, lr=0.02, betas=(0.5, 0.6)),
    "SOAP": lambda params: pytorch_optimizer.SOAP(
        params, lr=0.02, betas=(0.5, 0.6), shampoo_beta=0.7, precondition_frequency=2, max_precondition_dim=8
    ),
    "schedule_free": lambda params: published_schedule_free(params, lr=0.02, betas=(0.5, 0.6)),
}
"""Muon has a test of its own beside torch's, which has none for the rest of a network."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_all_options_at_once_are_those_of_the_published_one(name):
    """To 1e-5: an eigenvector of SOAP is right to 1e-7 over a gap of a hundredth; the others are right to rounding."""
    ours = stepped(*of_small(name, OTHER[name]))
    network, _ = of_small(name, OTHER[name])
    theirs = stepped(network, PUBLISHED[name](groups(network)))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@each
def test_without_a_gradient_matrices_shrink_and_vectors_stay(name):
    network, optimizer = of_small(name, OTHER[name])
    nn.init.constant_(network.square.bias, 0.5)
    before = {key: p.detach().clone() for key, p in network.named_parameters()}
    after = stepped(network, optimizer, length=0.0)
    for key, was in before.items():
        assert torch.equal(after[key], was) if was.ndim == 1 else bool((after[key].abs() < was.abs()).all()), key
