"""Multiple choice: the choice that the model holds for the likeliest continuation of the context is its answer."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from stlm.data.serving.batch import IGNORE
from stlm.evaluation.items import Item
from stlm.evaluation.scoring import score_states
from stlm.evaluation.subject import Subject
from stlm.nn.context import PADDING

MAX_BATCH_TOKENS = 8192


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
    """
    rows = [(r.context + r.continuation)[-(subject.context_window + 1) :] for r in requests]
    lengths = [min(len(r.continuation), len(row) - 1) for r, row in zip(requests, rows, strict=True)]
    results = [0.0] * len(rows)
    with subject.looked_at():
        for batch in _batches(rows):
            subject.check()
            padded = _padded([rows[i] for i in batch], lengths, batch)
            token_ids, targets, segments = (tensor.to(subject.device) for tensor in padded)
            told = segments if bool((segments == PADDING).any()) else None
            states, _ = subject.model.token_states(token_ids, segments=told)
            scores, _ = score_states(subject.model.head, states, targets)
            sums = (scores.double() * (targets != IGNORE)).sum(dim=1).tolist()
            for index, value in zip(batch, sums, strict=True):
                results[index] = value
    return results


def _batches(rows: list[list[int]]) -> Iterator[list[int]]:
    """Group the indices of rows, the longest first, so that rows of one batch are of nearly one length."""
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    while order:
        size = max(1, MAX_BATCH_TOKENS // len(rows[order[0]]))
        yield order[:size]
        order = order[size:]


def _padded(rows: list[list[int]], lengths: list[int], batch: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs, targets (`IGNORE` where they do not count) and segments, each (batch, longest)."""
    longest = max(1, max(len(row) for row in rows) - 1)
    token_ids = torch.zeros(len(rows), longest, dtype=torch.int64)
    targets = torch.full_like(token_ids, IGNORE)
    segments = torch.full_like(token_ids, PADDING)
    for place, (row, index) in enumerate(zip(rows, batch, strict=True)):
        end, count = len(row) - 1, lengths[index]
        token_ids[place, :end] = torch.tensor(row[:-1])
        targets[place, end - count : end] = torch.tensor(row[len(row) - count :])
        segments[place, :end] = 0
    return token_ids, targets, segments


def score_items(subject: Subject, items: Sequence[Item]) -> tuple[dict[str, float], list[list[float]]]:
    """Return a benchmark's scores, and the log-likelihoods of each item's choices.

    ``acc`` takes the choice of the highest log-likelihood, ``acc_norm`` of the highest a character of the choice; the
    first of equals. ``stderr`` is that of ``acc``: the sample's standard deviation over the root of ``num_samples``.
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
    return {"acc": acc, "acc_norm": acc_norm, "stderr": stderr, "num_samples": n}, by_item


def _best(values: Iterable[float]) -> int:
    listed = list(values)
    return listed.index(max(listed))
