"""What a mixture does with its tokens, beyond what the reference has: any experts, shared ones, losses, padding."""

import math

import pytest
import torch
from stlm_moe.nn.moe import MixtureOfExperts
from stlm_moe.nn.router import Router
from torch import nn

from stlm.nn import Context, FeedForward, RMSNorm


def test_each_token_is_a_weighted_sum_of_its_experts_and_of_all_shared_ones(mixture, x, context):
    ours = mixture(6, 3, shared=2)
    said = torch.stack([expert(x, context()) for expert in ours.experts])
    routing = ours.router(x.flatten(0, 1))
    weights = torch.zeros(15, 6).scatter(1, routing.chosen, routing.weights).view(3, 5, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 5))
    shared = sum(expert(x, context()) for expert in ours.shared_experts)
    torch.testing.assert_close(ours(x, context()), torch.einsum("ebsd,bse->bsd", said, weights) + shared)


class SaysWhereItIs(nn.Module):
    """An expert that says the position and the segment of each token that it is given."""

    def forward(self, x, context):
        where = torch.stack([context.positions.float(), context.segments.float()], dim=-1)
        return torch.cat([where, torch.zeros(*x.shape[:2], x.shape[2] - 2)], dim=-1)


def test_an_expert_is_told_the_positions_and_segments_of_its_own_tokens(x, context):
    torch.manual_seed(0)
    ours = MixtureOfExperts(12, [SaysWhereItIs() for _ in range(4)], top_k=2, norm=nn.Identity())
    segments = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 2, 2, 3], [0, 0, 0, 0, 0]])
    said = ours(x, context(segments))
    torch.testing.assert_close(said[..., 0], torch.arange(5.0).expand(3, 5))
    torch.testing.assert_close(said[..., 1], segments.float())


@pytest.mark.parametrize("top_k", [1, 2])
def test_an_expert_without_a_token_has_a_gradient_of_0_and_costs_nothing_in_evaluation(mixture, x, top_k):
    ours = mixture(8, top_k, normalize_weights=False)
    one, given = x[:1, :1], Context(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 1, dtype=torch.long))
    ours(one, given).sum().backward()
    reached = [bool(expert.up.weight.grad.any()) for expert in ours.experts]
    assert sum(reached) == top_k
    called = []
    for expert in ours.experts:
        expert.register_forward_hook(lambda module, args, out: called.append(module))
    with torch.no_grad():
        ours.eval()(one, given)
    assert [expert in called for expert in ours.experts] == reached


def test_padding_is_computed_and_counts_in_no_loss(mixture, x, context):
    ours = mixture(load_balancing_weight=1.0, router_z_loss_weight=1.0).train()
    segments = torch.zeros(3, 5, dtype=torch.long)
    segments[:, 3:] = -1
    padded, alone = context(segments), context()
    alone.positions = alone.positions[:, :3]
    found = ours(x, padded)
    of_padded, ours.tally = ours.tally, None
    torch.testing.assert_close(found[:, :3], ours(x[:, :3], alone))
    for name in ("load_balancing", "router_z"):
        torch.testing.assert_close(padded.losses[name], alone.losses[name])
    torch.testing.assert_close(of_padded, ours.tally)


def test_the_z_loss_by_hand(mixture, x, context):
    """Without a word from the router, the logarithm of a sum of 8 times exp(0)."""
    ours, given = mixture(router_z_loss_weight=0.1), context()
    nn.init.zeros_(ours.router.weight)
    ours(x, given)
    assert given.losses.keys() == {"router_z"}
    assert given.losses["router_z"].item() == pytest.approx(0.1 * math.log(8) ** 2, rel=1e-6)


@pytest.mark.parametrize("loss", ["load_balancing", "router_z"])
def test_a_loss_moves_the_router_and_no_expert(mixture, x, context, loss):
    ours, given = mixture(**{f"{loss}_{'weight' if loss == 'load_balancing' else 'loss_weight'}": 1.0}), context()
    ours(x, given)
    router, expert = ours.router.weight, ours.experts[0].up.weight
    moved, kept = torch.autograd.grad(given.losses[loss], [router, expert], allow_unused=True)
    assert moved.any()
    assert kept is None


def test_losses_inside_experts_are_means_over_all_choices(mixture, x, context):
    torch.manual_seed(0)
    inner = [mixture(4, 1, normalize_weights=False, router_z_loss_weight=1.0) for _ in range(3)]
    ours, given = MixtureOfExperts(12, inner, top_k=2, norm=nn.Identity()), context()
    ours(x, given)
    chosen, flat = ours.router(x.flatten(0, 1)).chosen, x.flatten(0, 1)
    squares = [
        expert.router(flat[(chosen == number).any(-1)]).logits.logsumexp(-1).square()
        for number, expert in enumerate(inner)
    ]
    torch.testing.assert_close(given.losses["router_z"], torch.cat(squares).mean())


def test_the_router_is_as_exact_under_autocast_as_without(mixture, x, context):
    ours = mixture()
    exact = ours.router(x.flatten(0, 1))
    with torch.autocast("cpu", torch.bfloat16):
        found = ours.router(x.flatten(0, 1))
        rounded = ours(x, context())
    assert all(torch.equal(one, other) for one, other in zip(exact, found, strict=True))
    assert 0 < (rounded - ours(x, context())).abs().max() < 0.1


def test_jitter_moves_the_router_in_training_alone(mixture, x, context):
    ours, plain = mixture(router_jitter=0.3), mixture()
    assert torch.equal(ours.eval()(x, context()), plain(x, context()))
    first, second = ours.train()(x, context()), ours(x, context())
    assert not torch.equal(first, second)
    with torch.no_grad():  # what experts read has no noise on it: alike routers of alike experts say the same
        for expert in ours.experts[1:]:
            expert.load_state_dict(ours.experts[0].state_dict())
    torch.testing.assert_close(ours(x, context()), ours(x, context()))


def test_jitter_is_drawn_from_both_sides_of_one():
    """Each expert's logit is one number of the input, here 1: the noise itself, even between 0.6 and 1.4."""
    router = Router(64, 64, top_k=1, normalize=False, jitter=0.4).train()
    with torch.no_grad():
        router.weight.copy_(torch.eye(64))
    torch.manual_seed(0)
    noise = router(torch.ones(500, 64)).logits
    assert 0.6 <= noise.min() < 0.61
    assert 1.39 < noise.max() <= 1.4
    assert noise.mean().item() == pytest.approx(1, abs=0.005)  # five deviations of the mean of 32,000
    assert (noise < 1).float().mean().item() == pytest.approx(0.5, abs=0.015)


def test_an_evaluation_with_gradients_leaves_the_figures_of_a_step_alone(mixture, x, context):
    ours = mixture(load_balancing_weight=1.0)
    ours.eval()(x, context())
    assert ours.tally is None
    ours.train()(x, context())
    of_step, given = ours.tally.clone(), context()
    ours.eval()(x + 1, given)
    assert given.losses["load_balancing"].requires_grad
    assert torch.equal(ours.tally, of_step)


def test_experts_of_any_kind_in_any_format(x, context):
    torch.manual_seed(0)
    experts = [FeedForward(12, 8, activation=nn.ReLU(), norm=RMSNorm(12, eps=1e-5)) for _ in range(4)]
    ours = MixtureOfExperts(12, experts, top_k=2, norm=RMSNorm(12, eps=1e-5)).bfloat16()
    said = ours(x.bfloat16(), context())
    assert said.dtype == torch.bfloat16
    assert said.isfinite().all()
