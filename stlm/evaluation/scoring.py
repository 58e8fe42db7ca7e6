"""The log-probability of given tokens, and whether they would have been the model's own choice."""

from typing import Any

import torch
from torch import Tensor

from stlm.nn.losses import IGNORE

ROWS_AT_ONCE = 512
"""Rows whose logits exist at one time."""


def score_states(head: Any, states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Score ``targets`` (batch, seq), the tokens that follow those of which the model made ``states``.

    ``states`` is (batch, seq, dim). Return the targets' log-probabilities in nats (float32), and whether each is the
    likeliest token; both (batch, seq), 0 and False where nothing is asked (`IGNORE`). Logits exist for some rows at a
    time, and only for those that are asked.
    """
    asked = targets != IGNORE
    rows, wanted = states[asked], targets[asked]
    scores, greedy = states.new_zeros(targets.shape, dtype=torch.float32), torch.zeros_like(asked)
    scores[asked], greedy[asked] = score_rows(head, rows, torch.arange(len(rows), device=rows.device), wanted)
    return scores, greedy


def score_rows(
    head: Any, rows: Tensor, slots: Tensor, wanted: Tensor, *, with_greedy: bool = True
) -> tuple[Tensor, Tensor]:
    """Score tokens ``wanted`` (m,), each at the row ``slots`` (m,) of ``rows`` (n, dim).

    Return their log-probabilities in nats (float32), and whether each is the likeliest token (False where that is not
    asked for, which saves a look through all logits); both (m,).
    """
    scores = rows.new_zeros(wanted.shape, dtype=torch.float32)
    greedy = torch.zeros(wanted.shape, dtype=torch.bool, device=rows.device)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        here = ((slots >= start) & (slots < start + ROWS_AT_ONCE)).nonzero().squeeze(1)
        at, ids = slots[here] - start, wanted[here]
        logits = head.project(rows[start : start + ROWS_AT_ONCE]).float()
        if with_greedy:
            greedy[here] = logits.argmax(dim=1)[at] == ids
        scores[here] = logits.log_softmax(dim=1)[at, ids]
    return scores, greedy
