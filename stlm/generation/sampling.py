"""Drawing the next token from the scores of all of them."""

import torch
from torch import Tensor


class Sampling:
    """Callable ``(logits (batch, vocab) float32, history, generator) -> ids (batch,)``.

    The scores are narrowed in this order: repetition penalty, temperature, top-k, top-p, min-p. At least the likeliest
    token always remains. A temperature of 0 takes the likeliest, the first of equals, and draws nothing.
    """

    def __init__(self, temperature: float, top_k: int, top_p: float, min_p: float, repetition_penalty: float) -> None:
        self.temperature, self.top_k, self.top_p, self.min_p = temperature, top_k, top_p, min_p
        self.repetition_penalty = repetition_penalty

    def __call__(self, logits: Tensor, history: list[list[int]], generator: torch.Generator) -> Tensor:
        """Draw one token a row; ``history`` holds the tokens of each row so far."""
        if self.repetition_penalty != 1:
            logits = penalize(logits, history, self.repetition_penalty)
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        below = logits - logits.max(dim=-1, keepdim=True).values  # so that no temperature overflows upward
        below = torch.where(below == 0, below, below / self.temperature)  # 0 / 1e-300 is 0 / 0 in float32
        probabilities = torch.softmax(below, dim=-1)
        kept = keep(probabilities, self.top_k, self.top_p, self.min_p)
        return torch.multinomial(probabilities * kept, 1, generator=generator).squeeze(-1)


def penalize(logits: Tensor, history: list[list[int]], penalty: float) -> Tensor:
    """Divide the positive and multiply the negative scores of tokens in ``history`` by ``penalty``, once each.

    No score leaves the range of float32, whatever the penalty.
    """
    bound = torch.finfo(logits.dtype).max / 4  # the difference of two is a number still
    logits = logits.clone()
    for row, seen in zip(logits, history, strict=True):
        ids = torch.tensor(sorted(set(seen)), dtype=torch.int64, device=row.device)
        seen_now = row[ids].double()
        row[ids] = torch.where(seen_now > 0, seen_now / penalty, seen_now * penalty).clamp(-bound, bound).to(row.dtype)
    return logits


def keep(probabilities: Tensor, top_k: int, top_p: float, min_p: float) -> Tensor:
    """Say which tokens remain, (batch, vocab) bool.

    Each narrows what the one before it left, and works with the probabilities as they are then: top-p counts its share
    among the ``top_k`` tokens. Of equally likely tokens at an edge, those with lower ids remain.
    """
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    remaining = torch.ones_like(ordered, dtype=torch.bool)
    if top_k > 0:
        remaining[:, top_k:] = False
    left = ordered * remaining
    before = left.cumsum(dim=-1) - left
    remaining &= before < top_p * left.sum(dim=-1, keepdim=True)
    remaining &= ordered >= min_p * ordered[:, :1]
    remaining[:, 0] = True
    return torch.zeros_like(remaining).scatter(-1, order, remaining)
