"""How well a model models tokens that are already there, a byte of their text, so that tokenizers can be compared."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from stlm.data.serving.batch import IGNORE, Batch
from stlm.data.tokenizers.token_bytes import TokenBytes
from stlm.evaluation.pseudo_likelihood import METHOD, score_hidden
from stlm.evaluation.scoring import score_states
from stlm.evaluation.subject import Subject
from stlm.training.masking import can_hide

MAX_HIDDEN = 1024
"""Tokens of a text that are hidden one by one, about: each costs a pass over its window."""


@attrs.frozen
class TextCounts:
    """What was counted of a batch: -log p summed, the bytes of the right and of all scored tokens, and their number.

    ``hidden`` says how many of the tokens were hidden from the model.
    """

    nats: float
    right_bytes: int
    bytes: int
    tokens: int
    hidden: int = 0


class TextModeling:
    """The ``bits_per_byte`` and ``byte_accuracy`` of held-out text.

    Each token is scored exactly once, given those before it in its window; the first of all is given an end of text.

    - ``bits_per_byte``: the sum of -log2 p(token), over the sum of the tokens' bytes. The ends of documents are no
      text: predicting them is left out of the bits as out of the bytes. A text that the tokenizer simplifies counts
      with the bytes that its tokens stand for.
    - ``byte_accuracy``: the share of bytes that belong to tokens which the model held for the likeliest.

    Of a model that sees both sides, tokens are hidden in turn (`stlm.evaluation.pseudo_likelihood`); each costs a pass
    over its window, so that of many only some are drawn. What cannot be hidden is not scored.
    """

    def __init__(self, bytes_of: TokenBytes) -> None:
        self.bytes_of = bytes_of
        self.sum = TextCounts(0.0, 0, 0, 0)

    def of(self, head: Any, states: Tensor, batch: Batch) -> TextCounts:
        """Score the targets of a batch on the CPU, for which the model made ``states`` (batch, seq, dim)."""
        counted = self._of_text(batch)
        scores, greedy = score_states(head, states, batch.targets.masked_fill(~counted, IGNORE).to(states.device))
        return self._counts(batch, counted, scores.cpu()[counted], greedy.cpu()[counted])

    def drawn(self, batch: Batch, share: float, generator: torch.Generator) -> Tensor:
        """Draw a ``share`` of the targets of a batch on the CPU, (batch, seq), of those that can be hidden."""
        drawn = torch.rand(batch.targets.shape, generator=generator) < share
        return drawn & self._of_text(batch) & can_hide(batch, self.bytes_of.tokenizer.mask_id)

    def of_hidden(
        self,
        subject: Subject,
        batches: Sequence[tuple[Batch, Tensor]],
        told: Callable[[float], None] | None = None,
    ) -> list[TextCounts]:
        """Score the targets that were `drawn` of each batch, each hidden from a model that would see it."""
        scored = score_hidden(subject, batches, told)
        counts = [self._counts(batch, asked, *one) for (batch, asked), one in zip(batches, scored, strict=True)]
        return [attrs.evolve(one, hidden=one.tokens) for one in counts]

    def add(self, counts: TextCounts) -> None:
        """Add what was counted of a batch."""
        each = zip(attrs.astuple(self.sum), attrs.astuple(counts), strict=True)
        self.sum = TextCounts(*(one + other for one, other in each))

    def _of_text(self, batch: Batch) -> Tensor:
        eot_id: int = self.bytes_of.tokenizer.eot_id
        return (batch.targets != IGNORE) & (batch.targets != eot_id)

    def _counts(self, batch: Batch, asked: Tensor, scores: Tensor, greedy: Tensor) -> TextCounts:
        targets, before = batch.targets[asked], batch.token_ids[asked]
        sizes = torch.from_numpy(self.bytes_of(targets.numpy(), before.numpy()))
        nats, right = -float(scores.double().sum()), int(sizes[greedy].sum())
        return TextCounts(nats, right, int(sizes.sum()), len(targets))

    def numbers(self) -> dict[str, Any]:
        """Return the numbers, and how they came about where that is another way; nothing where there was no text."""
        if not self.sum.bytes:
            return {}
        numbers = {
            "bits_per_byte": self.sum.nats / math.log(2) / self.sum.bytes,
            "byte_accuracy": self.sum.right_bytes / self.sum.bytes,
        }
        return {**numbers, "num_tokens": self.sum.tokens, "method": METHOD} if self.sum.hidden else numbers
