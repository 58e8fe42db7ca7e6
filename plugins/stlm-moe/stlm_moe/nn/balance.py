"""How evenly experts are used: the losses that ask for it, and what is added up over a step.

Letters: T = tokens, E = experts, K = experts of one token. ``real`` (T,) is 1.0 for a token and 0.0 for padding.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from stlm_moe.nn.router import Routing


def load_balancing_loss(routing: Routing, real: Tensor) -> Tensor:
    """E · Σ share_e · mean probability_e: 1 where all experts are used alike, at most E.

    The share is that of all choices, of which each token makes K. Source: Fedus et al., 2021 (arXiv:2101.03961),
    equation 4, where K is 1. transformers' `load_balancing_loss_func` takes the share of tokens, and so gives K times
    as much; given several layers, it averages shares and probabilities over them before the product.
    """
    mean = (routing.probabilities * real.unsqueeze(1)).sum(dim=0) / real.sum().clamp(min=1)
    return mean.numel() * (shares_of(choices(routing, real)) * mean).sum()


def router_z_loss(routing: Routing, real: Tensor) -> Tensor:
    """Mean of the squared logarithm of Σ exp(logit), over tokens. Source: Zoph et al., 2022 (arXiv:2202.08906)."""
    return (routing.logits.logsumexp(dim=-1).square() * real).sum() / real.sum().clamp(min=1)


def choices(routing: Routing, real: Tensor) -> Tensor:
    """Count the choices that fell on each expert, (E,); whole numbers, in float32."""
    experts, top_k = routing.probabilities.shape[1], routing.chosen.shape[1]
    return real.new_zeros(experts).scatter_add_(0, routing.chosen.flatten(), real.repeat_interleave(top_k))


def shares_of(counts: Tensor) -> Tensor:
    """Divide counts by their sum; nothing has shares of 0."""
    return counts / counts.sum().clamp(min=1)


class Seen(NamedTuple):
    """What one mixture did in a step: the share of choices on each expert, (E,), and its router's mean entropy."""

    shares: Tensor
    entropy: float


def tally(routing: Routing, real: Tensor) -> Tensor:
    """What is added up over a step, (E + 2,): choices by expert, tokens, and the entropy of their probabilities."""
    with torch.no_grad():
        entropy = torch.special.entr(routing.probabilities).sum(dim=-1)
        totals = torch.stack([real.sum(), (entropy * real).sum()])
        return torch.cat([choices(routing, real), totals])
