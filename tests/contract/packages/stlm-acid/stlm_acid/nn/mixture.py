"""A mixture of experts. Shapes: B = batch, S = tokens, E = experts, K = experts of one token."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from stlm.nn import Context, Linear, cost


class MixtureOfExperts(nn.Module):
    """Send each token through its K likeliest experts and add up what they say, each times its probability.

    Shape: (B, S, hidden) -> (B, S, hidden), without the residual; each expert has a norm of its own at its entrance.
    ``shares`` (E,), of the latest forward pass, says which share of all choices fell on each expert.
    Source: Fedus et al., 2021 (arXiv:2101.03961), with K experts in the place of one and no limit to their load. The
    added loss is its equation 4, ``balance_weight`` · E · Σ share_e · mean probability_e, which is least when even.
    """

    shares: Tensor
    breaks_graphs = "how many tokens a router sends to an expert is known only when it runs"

    def __init__(
        self,
        hidden_dim: int,
        experts: Sequence[nn.Module],
        *,
        experts_per_token: int,
        balance_weight: float,
        norm: nn.Module,
    ) -> None:
        super().__init__()
        self.experts_per_token, self.balance_weight = experts_per_token, balance_weight
        self.norm = norm
        self.router = Linear(hidden_dim, len(experts), bias=False)
        self.experts = nn.ModuleList(experts)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Route each token; an expert that got none still runs, on zero rows, so that its gradient is 0, not None."""
        probabilities = self.router(self.norm(x)).float().softmax(dim=-1)
        weights, chosen = probabilities.topk(self.experts_per_token, dim=-1)
        y = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            rows = (*places, _) = (chosen == index).nonzero(as_tuple=True)
            said = expert(x[tuple(places)].unsqueeze(0), context).squeeze(0)
            y = y.index_put(tuple(places), (said * weights[rows].unsqueeze(1)).to(x.dtype), accumulate=True)
        self.shares = torch.bincount(chosen.flatten(), minlength=len(self.experts)) / chosen.numel()
        uneven = len(self.experts) * (self.shares * probabilities.mean(dim=(0, 1))).sum()
        context.add_loss("mixture_balance", self.balance_weight * uneven)
        return y

    def active_elements(self) -> Iterator[tuple[nn.Parameter, int]]:
        """Yield the router's parameters, and those of as many experts as a token uses."""
        for part in (self.norm, self.router, *self.experts[: self.experts_per_token]):
            yield from cost.active_elements(part)

    def flops_per_token(self, seq_len: int) -> float:
        """Count the router, and as many experts as a token uses."""
        return cost.flops_per_token(self.router, seq_len) + self.experts_per_token * cost.flops_per_token(
            self.experts[0], seq_len
        )

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count the router with its probabilities, and as many experts as a token uses, with what each says."""
        router = sum(cost.saved_bytes_per_token(part, seq_len, width) for part in (self.norm, self.router))
        expert = cost.saved_bytes_per_token(self.experts[0], seq_len, width) + width * self.router.in_features
        return router + 4 * self.router.out_features + self.experts_per_token * expert
