"""The mixture against transformers' Mixtral and OLMoE: the same weights, outputs, losses and gradients."""

import pytest
import torch
from stlm_moe.nn.balance import load_balancing_loss
from stlm_moe.nn.router import Routing

pytest.importorskip("transformers")

from transformers.models.mixtral.configuration_mixtral import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock, load_balancing_loss_func
from transformers.models.olmoe.configuration_olmoe import OlmoeConfig
from transformers.models.olmoe.modeling_olmoe import OlmoeSparseMoeBlock


def mixtral(num_experts, top_k):
    config = MixtralConfig(
        hidden_size=12, intermediate_size=10, num_local_experts=num_experts, num_experts_per_tok=top_k
    )
    config._experts_implementation = "eager"
    return MixtralSparseMoeBlock(config)


def olmoe(num_experts, top_k):
    config = OlmoeConfig(
        hidden_size=12, intermediate_size=10, num_experts=num_experts, num_experts_per_tok=top_k, norm_topk_prob=False
    )
    config._experts_implementation = "eager"
    return OlmoeSparseMoeBlock(config)


def share_weights(ours, theirs):
    """Give the reference our weights; it holds those of all experts in two tensors."""
    with torch.no_grad():
        theirs.gate.weight.copy_(ours.router.weight)
        for number, expert in enumerate(ours.experts):
            theirs.experts.gate_up_proj[number] = torch.cat([expert.gate.weight, expert.up.weight])
            theirs.experts.down_proj[number] = expert.down.weight


def assert_near(found, wanted):
    """Sums are added up in another order in float32, so what is small may be off by a rounding of what is large."""
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6 * float(wanted.detach().abs().max()))


@pytest.mark.parametrize(
    ("make", "num_experts", "top_k", "normalized"),
    [(mixtral, 8, 2, True), (mixtral, 4, 4, True), (olmoe, 8, 3, False), (olmoe, 4, 1, False)],
)
def test_it_computes_what_the_reference_computes(mixture, x, context, make, num_experts, top_k, normalized):
    ours, theirs = mixture(num_experts, top_k, normalize_weights=normalized), make(num_experts, top_k)
    share_weights(ours, theirs)
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    mine, wanted = ours(one, context()), theirs(other)
    assert_near(mine, wanted)
    mine.square().sum().backward()
    wanted.square().sum().backward()
    assert_near(one.grad, other.grad)
    assert_near(ours.router.weight.grad, theirs.gate.weight.grad)
    gates = [torch.cat([e.gate.weight.grad, e.up.weight.grad]) for e in ours.experts]
    assert_near(torch.stack(gates), theirs.experts.gate_up_proj.grad)
    assert_near(torch.stack([e.down.weight.grad for e in ours.experts]), theirs.experts.down_proj.grad)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("top_k", [1, 2])
def test_its_balance_loss_is_the_references(mixture, x, context, top_k, padded):
    """Theirs takes shares of tokens, of which each makes K choices: K times as much."""
    ours = mixture(8, top_k, normalize_weights=False, load_balancing_weight=0.5)
    segments = torch.where(torch.arange(5) < torch.tensor([[5], [3], [4]]), 0, -1) if padded else None
    given = context(segments)
    ours(x, given)
    (gradient,) = torch.autograd.grad(given.losses["load_balancing"], ours.router.weight, retain_graph=True)
    logits = ours.router(x.flatten(0, 1)).logits
    wanted = 0.5 / top_k * load_balancing_loss_func((logits,), 8, top_k, None if segments is None else segments >= 0)
    torch.testing.assert_close(given.losses["load_balancing"], wanted)
    torch.testing.assert_close(gradient, *torch.autograd.grad(wanted, ours.router.weight))


def routing_of(probabilities, top_k):
    weights, chosen = probabilities.topk(top_k)
    return Routing(probabilities.log(), probabilities, weights, chosen)


@pytest.mark.parametrize(
    ("rows", "top_k", "loss"),
    [
        ([[0.5, 0.3, 0.1, 0.1], [0.1, 0.5, 0.3, 0.1], [0.1, 0.1, 0.5, 0.3], [0.3, 0.1, 0.1, 0.5]], 1, 1.0),
        ([[0.5, 0.3, 0.1, 0.1], [0.1, 0.5, 0.3, 0.1], [0.1, 0.1, 0.5, 0.3], [0.3, 0.1, 0.1, 0.5]], 2, 1.0),
        ([[0.75, 0.25], [0.75, 0.25]], 1, 1.5),  # 2 · (1 · 0.75 + 0 · 0.25)
        ([[0.6, 0.3, 0.1]] * 3, 2, 3 * (0.5 * 0.6 + 0.5 * 0.3)),
    ],
)
def test_the_balance_loss_by_hand(rows, top_k, loss):
    """Even use is 1, whatever K."""
    probabilities = torch.tensor(rows)
    found = load_balancing_loss(routing_of(probabilities, top_k), torch.ones(len(rows)))
    assert float(found) == pytest.approx(loss, rel=1e-6)
