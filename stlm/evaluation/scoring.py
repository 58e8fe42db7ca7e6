"""The log-probability of given tokens, and whether they would have been the model's own choice."""

from typing import Any

import torch
from torch import Tensor

ROWS_AT_ONCE = 1024


def score_states(head: Any, states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Score ``targets`` (batch, seq), the tokens that follow those of which the model made ``states``.

    ``states`` is (batch, seq, dim). Return the targets' log-probabilities in nats (float32), and whether each is the
    likeliest token; both (batch, seq). Negative targets get numbers without a meaning. The logits exist for some rows
    at a time only.
    """
    rows, wanted = states.reshape(-1, states.shape[-1]), targets.clamp(min=0).reshape(-1)
    scores, greedy = [], []
    for some, ids in zip(rows.split(ROWS_AT_ONCE), wanted.split(ROWS_AT_ONCE), strict=True):
        logits = head.project(some).float()
        scores.append(logits.gather(1, ids.unsqueeze(1)).squeeze(1) - logits.logsumexp(dim=1))
        greedy.append(logits.argmax(dim=1) == ids)
    return torch.cat(scores).view(targets.shape), torch.cat(greedy).view(targets.shape)
