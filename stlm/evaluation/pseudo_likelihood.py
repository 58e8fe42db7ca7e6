"""The pseudo-log-likelihood: what a model that sees both sides can say of a text without seeing its answers.

Each token is hidden in turn and predicted from all the others (Salazar et al., 2020; arXiv:1910.14659), from the
position before it, as `next_token_mlm` trains it. Read from left to right, such a model would see each answer in its
input. The sum over the tokens is no probability of the text, so it is not comparable with that of a causal model.
Shapes: B = batch, S = tokens, n = tokens that are scored.
"""

import torch
from torch import Tensor

from stlm.data.serving.batch import Batch
from stlm.evaluation.scoring import score_states
from stlm.evaluation.subject import Subject

METHOD = "pseudo_log_likelihood"
MAX_BATCH_TOKENS = 8192


def score_hidden(subject: Subject, batch: Batch, asked: Tensor) -> tuple[Tensor, Tensor]:
    """Score the tokens that are asked for at ``asked`` (B, S), each hidden alone, in their order by rows.

    The token asked for at position t is the input at t + 1. Return the log-probabilities in nats (float32), and whether
    each token is the likeliest; both (n,), on the CPU. Must be called within ``subject.looked_at()``.
    """
    rows, places = asked.nonzero(as_tuple=True)
    at_once = max(1, MAX_BATCH_TOKENS // batch.token_ids.shape[1])
    scores, greedy = [torch.empty(0)], [torch.empty(0, dtype=torch.bool)]
    for start in range(0, len(rows), at_once):
        subject.check()
        some, at = rows[start : start + at_once], places[start : start + at_once]
        one = batch.rows(some).to(subject.device)
        each, at = torch.arange(len(some), device=subject.device), at.to(subject.device)
        wanted = one.token_ids[each, at + 1]
        token_ids = one.token_ids.index_put((each, at + 1), torch.tensor(subject.tokenizer.mask_id, device=at.device))
        states, _ = subject.model.token_states(token_ids, positions=one.positions, segments=one.segments)
        found = score_states(subject.model.head, states[each, at].unsqueeze(1), wanted.unsqueeze(1))
        scores.append(found[0].squeeze(1).cpu())
        greedy.append(found[1].squeeze(1).cpu())
    return torch.cat(scores), torch.cat(greedy)
