"""SOAP beside a published one, and what it keeps."""

import pytest
import torch
from pytorch_optimizer import SOAP as PUBLISHED
from stlm_optimizers.optim.soap import SOAP
from torch import nn

from stlm.registry import make_component


@pytest.mark.parametrize("length", [1.0, 1e-6])
@pytest.mark.parametrize(
    ("shape", "widest"),
    [((6, 6), 100), ((4, 30), 10), ((5,), 100), ((7, 3), 1), ((3, 3, 3), 100)],
    ids=["both sides", "one side", "vector", "Adam", "three axes"],
)
def test_its_steps_are_those_of_the_published_one(compared, shape, widest, length):
    """Gradients have full rank along each axis that is turned, or eigenvectors of 0 could be any.

    An eigenvector is right to 1e-7 over the gap to its neighbor's eigenvalue, here a hundredth; so are directions.
    Beside gradients of 1e-6 an epsilon of 1e-8 counts, and within the root it would be all there is.
    """
    common = {"lr": 0.01, "betas": (0.9, 0.95), "weight_decay": 0.1, "precondition_frequency": 3}
    for step, (ours, theirs) in enumerate(
        compared(
            [shape],
            lambda p: SOAP(p, max_precond_dim=widest, shampoo_beta=0.95, **common),
            lambda p: PUBLISHED(p, max_precondition_dim=widest, **common),
            length=length,
        )
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6 * (step + 1))


def test_each_part_of_a_fused_matrix_is_stepped_as_a_matrix_of_its_own(compared):
    """The parts as parameters of their own take the same steps."""
    how = {"lr": 0.01, "precondition_frequency": 2}

    class Apart(SOAP):
        def __init__(self, params):
            (self.fused,) = params
            self.views = [nn.Parameter(part.detach().clone()) for part in self.fused.split((4, 2))]
            super().__init__(self.views, **how)

        def step(self):
            for view, grad in zip(self.views, self.fused.grad.split((4, 2)), strict=True):
                view.grad = grad
            super().step()
            self.fused.data.copy_(torch.cat(self.views))

    for ours, theirs in compared([(6, 2)], lambda p: SOAP(p, {p[0]: (4, 2)}, **how), Apart):
        assert torch.equal(ours[0], theirs[0])


def squares(state):
    return [tuple(one.shape) for part in state["bases"] for one in part if one is not None]


def test_tables_have_a_basis_of_their_hidden_side_and_what_it_keeps_is_what_is_foretold(network):
    component = make_component("optimizer", "SOAP", {"max_precond_dim": 100})
    soap = component.build(None, network, "cpu")
    for p in network.parameters():
        p.grad = torch.randn_like(p)
    soap.step()
    assert squares(soap.state[network.embedder.weight]) == [(8, 8)]
    assert squares(soap.state[network.positions.weight]) == [(8, 8)]
    assert squares(soap.state[network.core.coefficients]) == [(4, 4)]
    assert squares(soap.state[network.core.qkv.weight]) == [(8, 8), (8, 8), (4, 4), (8, 8), (4, 4), (8, 8)]
    assert squares(soap.state[network.core.norm.weight]) == []
    kept = 0
    pending = list(soap.state.values())
    while pending:
        one = pending.pop()
        pending += one.values() if isinstance(one, dict) else one if isinstance(one, list) else []
        kept += one.numel() * one.element_size() if torch.is_tensor(one) else 0
    assert component.state_bytes(network) == kept


def test_the_first_step_moves_nothing(network):
    soap = make_component("optimizer", "SOAP", {}).build(None, network, "cpu")
    before = [p.detach().clone() for p in network.parameters()]
    for p in network.parameters():
        p.grad = torch.ones_like(p)
    soap.step()
    assert all(torch.equal(p, was) for p, was in zip(network.parameters(), before, strict=True))
