"""The pseudo-log-likelihood: what a model that sees both sides can say of a text without seeing its answers.

Each token is hidden in turn and predicted from all the others (Salazar et al., 2020; arXiv:1910.14659), from the
position before it, as `next_token_mlm` trains it. Read from left to right, such a model would see each answer in its
input. The sum over the tokens is no probability of the text, so it is not comparable with that of a causal model.
Shapes: B = batch, S = tokens, n = tokens that are scored.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from stlm.data.serving.batch import Batch
from stlm.evaluation.likelihood import answer_all
from stlm.evaluation.rows import Row
from stlm.evaluation.subject import Subject

METHOD = "pseudo_log_likelihood"


def score_hidden(
    subject: Subject, batches: Sequence[tuple[Batch, Tensor]], told: Callable[[float], None] | None = None
) -> list[tuple[Tensor, Tensor]]:
    """Score of each batch the tokens that are asked for at the places (B, S) beside it, each hidden alone, row by row.

    The token asked for at position t is the input at t + 1. All processes of the subject come here, and share the work;
    ``told`` is given the share that is done. Return for each batch the log-probabilities in nats (float64), and whether
    each token is the likeliest; both (n,), on the CPU. Must be called within ``subject.looked_at()``.
    """
    rows = [row for batch, asked in batches for row in _hiding(batch, asked)]
    values, right = answer_all(subject, rows, told=told)
    sizes = [int(asked.sum()) for _, asked in batches]
    both = values, torch.tensor(right, dtype=torch.bool)
    return list(zip(*(torch.split(one, sizes) for one in both), strict=True))


def _hiding(batch: Batch, asked: Tensor) -> Iterator[Row]:
    """Lay out a row for each token that is asked for; those of one window share what is in it."""
    for number, own in enumerate(asked):
        places = own.nonzero().squeeze(1).tolist()
        if not places:
            continue
        ids, length = batch.token_ids[number].tolist(), asked.shape[1]
        depths = list(range(length)) if batch.positions is None else batch.positions[number].tolist()
        segments = None if batch.segments is None else batch.segments[number].tolist()
        reach = [length] * length
        for at in places:
            yield Row(ids, depths, reach, asked=[(at, ids[at + 1])], hidden=at + 1, segments=segments)
