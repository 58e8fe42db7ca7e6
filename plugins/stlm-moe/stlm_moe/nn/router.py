"""Which experts a token goes through. Letters: T = tokens, E = experts, K = experts of one token."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stlm.nn import Linear


class Routing(NamedTuple):
    """What a router says of T tokens: logits and probabilities (T, E), weights and numbers of the chosen, (T, K)."""

    logits: Tensor
    probabilities: Tensor
    weights: Tensor
    chosen: Tensor


class Router(Linear):
    """Score the experts by a linear map, and choose the K best.

    Computed in float32 whatever the working precision: the softmax of rounded logits chooses other experts (Fedus et
    al., 2021, section 2.4). ``jitter`` in training multiplies each number that is read by one drawn from
    [1 - jitter, 1 + jitter]. ``normalize``: the K weights are divided by their sum.
    """

    def __init__(self, hidden_dim: int, num_experts: int, *, top_k: int, normalize: bool, jitter: float) -> None:
        super().__init__(hidden_dim, num_experts, bias=False)
        self.top_k, self.normalize, self.jitter = top_k, normalize, jitter

    def forward(self, x: Tensor) -> Routing:
        """Shape of x: (T, hidden)."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            if self.jitter and self.training:
                x = x * torch.empty_like(x).uniform_(1 - self.jitter, 1 + self.jitter)
            logits = F.linear(x, self.weight.float())
            probabilities = logits.softmax(dim=-1)
            weights, chosen = probabilities.topk(self.top_k, dim=-1)
            if self.normalize:
                weights = weights / weights.sum(dim=-1, keepdim=True)
        return Routing(logits, probabilities, weights, chosen)

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count what is read, with noise on it both, the probabilities, and the chosen with their weights."""
        read = 4 * self.in_features * (2 if self.jitter else 1)
        return read + 4 * self.out_features + 8 * self.top_k + (4 * (self.top_k + 1) if self.normalize else 0)
