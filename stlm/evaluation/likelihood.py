"""The log-likelihoods of continuations, many at once: each beginning is read once, and only what is asked is scored."""

from collections.abc import Callable, Sequence

import attrs
import torch
from torch import Tensor

from stlm.evaluation.batching import batches_of, most_positions, side_by_side
from stlm.evaluation.dealing import dealt
from stlm.evaluation.finite import require_finite
from stlm.evaluation.requests import Request
from stlm.evaluation.rows import Plan, Row, plan_hidden, plan_rows
from stlm.evaluation.scoring import score_rows
from stlm.evaluation.subject import Subject

Answers = tuple[list[float], list[bool]]
"""Of each pair that is asked in some rows: its log-probability, and whether its token is the likeliest."""


@attrs.frozen
class Scored:
    """How likely one continuation is given its context, in nats.

    ``greedy`` says whether each of its tokens is the likeliest, where that was asked. ``cut`` says whether its context
    lost its beginning to the window.
    """

    log_likelihood: float
    greedy: bool
    cut: bool


def log_likelihoods(subject: Subject, requests: Sequence[Request]) -> list[float]:
    """Return the log-probability of each continuation given its context, in nats; see `score_requests`."""
    return [scored.log_likelihood for scored in score_requests(subject, requests, with_greedy=False)]


def score_requests(
    subject: Subject,
    requests: Sequence[Request],
    *,
    with_greedy: bool = True,
    told: Callable[[float], None] | None = None,
) -> list[Scored]:
    """Score each continuation given its context; all processes of the subject come here, and share the work.

    Raises `NoNumbersError` where the model computes what no score can be made of.

    What is longer than the window loses its beginning; of a continuation longer than the window, its last part counts.
    For a model that sees what follows, it is the continuation's pseudo-log-likelihood: each of its tokens is hidden in
    turn, and predicted from the context and the rest of the continuation. ``told`` is given the share that is done.
    """
    if not requests:
        return []
    plan = _plan(subject, requests)
    with subject.looked_at():
        values, right = answer_all(subject, plan.rows, with_greedy=with_greedy, told=told)
    require_finite(float(values.sum()))
    return [
        Scored(float(values[answer].sum()), all(right[number] for number in answer), cut)
        for answer, cut in zip(plan.answers, plan.cut, strict=True)
    ]


def _plan(subject: Subject, requests: Sequence[Request]) -> Plan:
    if subject.sees_answers:
        return plan_hidden(requests, subject.context_window)
    return plan_rows(requests, subject.context_window, branches=subject.takes_branches)


def answer_all(
    subject: Subject,
    rows: Sequence[Row],
    *,
    with_greedy: bool = True,
    told: Callable[[float], None] | None = None,
) -> tuple[Tensor, list[bool]]:
    """Run the model over all rows, in batches of nearly one length that the subject's processes take in turns.

    Return what `answer_rows` does, on the CPU: float64, and whether each is the likeliest. ``told`` is given the share
    that is done. Must be called within ``subject.looked_at()``.
    """
    groups = batches_of([len(row.token_ids) for row in rows], most_positions(subject.device))

    def score(group: list[int]) -> Answers:
        scores, greedy = answer_rows(subject, [rows[index] for index in group], with_greedy=with_greedy)
        return scores.tolist(), greedy.tolist()

    return _in_order(rows, groups, dealt(subject, groups, score, told))


def answer_rows(subject: Subject, rows: Sequence[Row], *, with_greedy: bool = True) -> tuple[Tensor, Tensor]:
    """Run the model over some rows, and its head over the places where something is asked.

    Return the log-probabilities of what is asked, in nats (float32), and whether each token is the likeliest; both
    (pairs,), in the order of the rows. Must be called within ``subject.looked_at()``.
    """
    mask_id = subject.tokenizer.mask_id if subject.sees_answers else None
    batch = side_by_side(rows, subject.device, mask_id=mask_id)
    told = {"positions": batch.positions, "reach": batch.reach}
    more = {name: tensor for name, tensor in told.items() if tensor is not None}  # not every network takes branches
    states, _ = subject.model.token_states(batch.token_ids, segments=batch.segments, **more)
    asked = states.flatten(0, 1)[batch.at]
    return score_rows(subject.model.head, asked, batch.slots, batch.wanted, with_greedy=with_greedy)


def _in_order(
    rows: Sequence[Row], groups: Sequence[Sequence[int]], scored: Sequence[Answers]
) -> tuple[Tensor, list[bool]]:
    """Put the answers of groups of rows in the order of all pairs: float64, and whether each is the likeliest."""
    of_row: list[Answers] = [([], [])] * len(rows)
    for group, (scores, greedy) in zip(groups, scored, strict=True):
        start = 0
        for index in group:
            end = start + len(rows[index].asked)
            of_row[index] = scores[start:end], greedy[start:end]
            start = end
    values = torch.tensor([value for scores, _ in of_row for value in scores], dtype=torch.float64)
    return values, [value for _, greedy in of_row for value in greedy]
