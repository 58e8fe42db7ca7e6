"""The log-probability of given tokens, and whether they would have been the model's own choice."""

from typing import Any

import torch
from torch import Tensor

from stlm.nn.losses import IGNORE

ROWS_AT_ONCE = 1024


def score_states(head: Any, states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Score ``targets`` (batch, seq), the tokens that follow those of which the model made ``states``.

    ``states`` is (batch, seq, dim). Return the targets' log-probabilities in nats (float32), and whether each is the
    likeliest token; both (batch, seq), 0 and False where nothing is asked (`IGNORE`). Logits exist for some rows at a
    time, and only for those that are asked.
    """
    asked = targets != IGNORE
    rows, wanted = states[asked], targets[asked]
    scores, greedy = states.new_zeros(targets.shape, dtype=torch.float32), torch.zeros_like(asked)
    of_rows, right = [], []
    for some, ids in zip(rows.split(ROWS_AT_ONCE), wanted.split(ROWS_AT_ONCE), strict=True):
        logits = head.project(some).float()
        of_rows.append(logits.gather(1, ids.unsqueeze(1)).squeeze(1) - logits.logsumexp(dim=1))
        right.append(logits.argmax(dim=1) == ids)
    scores[asked], greedy[asked] = torch.cat(of_rows), torch.cat(right)
    return scores, greedy
