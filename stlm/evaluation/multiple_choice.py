"""Multiple choice: the choice that the model holds for the likeliest continuation of the context is its answer."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs
import torch

from stlm.data.serving.batch import IGNORE, Batch
from stlm.evaluation.items import Item
from stlm.evaluation.pseudo_likelihood import MAX_BATCH_TOKENS, METHOD, score_hidden
from stlm.evaluation.scoring import score_states
from stlm.evaluation.subject import Subject
from stlm.nn.context import PADDING


@attrs.frozen
class Request:
    """A context and one continuation as tokens, and whose they are."""

    context: list[int]
    continuation: list[int]


def encode_pair(tokenizer: Any, context: str, continuation: str) -> Request:
    """Encode a context and what goes on from it, so that both together are the tokens of the whole text.

    As lm-evaluation-harness does: whitespace at the end of the context belongs to the continuation; the whole is
    encoded at once and divided where the tokens of the context alone end; an empty context is an end of text.
    """
    bare = context.rstrip()
    continuation = context[len(bare) :] + continuation
    whole, alone = tokenizer.encode_batch([bare + continuation, bare])
    cut = max(0, min(len(alone), len(whole) - 1))  # a merge across the border leaves the continuation a token
    return Request(alone[:cut] or [tokenizer.eot_id], whole[cut:])


def log_likelihoods(subject: Subject, requests: Sequence[Request]) -> list[float]:
    """Return the log-probability of each continuation given its context, in nats.

    What is longer than the window loses its beginning; of a continuation longer than the window, its last part counts.
    For a model that sees what follows, it is the continuation's pseudo-log-likelihood: each of its tokens is hidden in
    turn, and predicted from the context and the rest of the continuation.
    """
    score = _score_hidden if subject.sees_answers else _score
    rows = [_Row.of(request, subject.context_window, whole=subject.sees_answers) for request in requests]
    results = [0.0] * len(rows)
    with subject.looked_at():
        for some in _batches(rows):
            subject.check()
            for index, value in zip(some, score(subject, _padded([rows[i] for i in some])), strict=True):
                results[index] = value
    return results


@attrs.frozen
class _Row:
    """What the model reads, and what is asked of it at each token (`IGNORE`: nothing), of one length."""

    inputs: list[int]
    targets: list[int]

    @classmethod
    def of(cls, request: Request, context_window: int, *, whole: bool) -> "_Row":
        """Ask for the continuation; its last token is read only where the ``whole`` is, to be hidden there."""
        most = context_window + (0 if whole else 1)
        row = (request.context + request.continuation)[-most:]
        count = min(len(request.continuation), len(row) - 1)
        targets = [IGNORE] * (len(row) - 1 - count) + row[len(row) - count :]
        return cls(row, [*targets, IGNORE]) if whole else cls(row[:-1], targets)


def _score(subject: Subject, batch: Batch) -> list[float]:
    """Sum the log-probabilities of each row's targets."""
    here = batch.to(subject.device)
    states, _ = subject.model.token_states(here.token_ids, segments=here.segments)
    scores, _ = score_states(subject.model.head, states, here.targets)
    sums: list[float] = scores.double().sum(dim=1).tolist()
    return sums


def _score_hidden(subject: Subject, batch: Batch) -> list[float]:
    """Sum the log-probabilities of each row's targets, each hidden from the model."""
    asked = batch.targets != IGNORE
    scores, _ = score_hidden(subject, batch, asked)
    sums: list[float] = (
        torch.zeros(asked.shape, dtype=torch.float64).masked_scatter(asked, scores.double()).sum(1).tolist()
    )
    return sums


def _batches(rows: list[_Row]) -> Iterator[list[int]]:
    """Group the indices of rows, the longest first, so that rows of one batch are of nearly one length."""
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i].inputs))
    while order:
        size = max(1, MAX_BATCH_TOKENS // max(1, len(rows[order[0]].inputs)))
        yield order[:size]
        order = order[size:]


def _padded(rows: list[_Row]) -> Batch:
    """Lay rows side by side, (batch, longest); segments tell padding, where there is some."""
    longest = max(1, max(len(row.inputs) for row in rows))
    token_ids = torch.zeros(len(rows), longest, dtype=torch.int64)
    targets = torch.full_like(token_ids, IGNORE)
    segments = torch.full_like(token_ids, PADDING)
    for place, row in enumerate(rows):
        end = len(row.inputs)
        token_ids[place, :end] = torch.tensor(row.inputs)
        targets[place, :end] = torch.tensor(row.targets)
        segments[place, :end] = 0
    return Batch(token_ids, targets, segments if bool((segments == PADDING).any()) else None)


def score_items(subject: Subject, items: Sequence[Item]) -> tuple[dict[str, Any], list[list[float]]]:
    """Return a benchmark's scores, and the log-likelihoods of each item's choices.

    ``acc`` takes the choice of the highest log-likelihood, ``acc_norm`` of the highest a character of the choice; the
    first of equals. ``stderr`` is that of ``acc``: the sample's standard deviation over the root of ``num_samples``.
    ``method`` says where the log-likelihoods are others than those of reading from left to right.
    """
    pairs = [
        (item.context, (item.delimiter if item.context else "") + choice) for item in items for choice in item.choices
    ]
    requests = [encode_pair(subject.tokenizer, context, continuation) for context, continuation in pairs]
    flat = iter(log_likelihoods(subject, requests))
    by_item = [[next(flat) for _ in item.choices] for item in items]
    right = [_best(ll) == item.gold for item, ll in zip(items, by_item, strict=True)]
    right_norm = [
        _best(value / max(len(choice), 1) for value, choice in zip(ll, item.choices, strict=True)) == item.gold
        for item, ll in zip(items, by_item, strict=True)
    ]
    n = len(items)
    acc, acc_norm = sum(right) / n, sum(right_norm) / n
    stderr = math.sqrt(acc * (1 - acc) / (n - 1)) if n > 1 else 0.0
    scores = {"acc": acc, "acc_norm": acc_norm, "stderr": stderr, "num_samples": n}
    return scores | ({"method": METHOD} if subject.sees_answers else {}), by_item


def _best(values: Iterable[float]) -> int:
    listed = list(values)
    return listed.index(max(listed))
