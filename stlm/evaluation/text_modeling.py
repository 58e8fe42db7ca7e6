"""How well a model models running text, a byte: a measure that does not depend on the tokenizer."""

import math
from typing import Any

import torch
from torch import Tensor

from stlm.data.serving.batch import IGNORE, Batch
from stlm.data.tokenizers.token_bytes import TokenBytes
from stlm.evaluation.pseudo_likelihood import METHOD, score_hidden
from stlm.evaluation.scoring import score_states
from stlm.evaluation.subject import Subject
from stlm.training.masking import can_hide


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
        self.nats, self.right_bytes, self.bytes, self.tokens = 0.0, 0, 0, 0
        self.hidden = False

    def add(self, head: Any, states: Tensor, batch: Batch) -> None:
        """Score the targets of a batch on the CPU, for which the model made ``states`` (batch, seq, dim)."""
        counted = self._of_text(batch)
        scores, greedy = score_states(head, states, batch.targets.masked_fill(~counted, IGNORE).to(states.device))
        self._count(batch, counted, scores.cpu()[counted], greedy.cpu()[counted])

    def add_hidden(self, subject: Subject, batch: Batch, share: float, generator: torch.Generator) -> None:
        """Score a ``share`` of the targets of a batch on the CPU, each hidden from a model that would see it."""
        drawn = torch.rand(batch.targets.shape, generator=generator) < share
        asked = drawn & self._of_text(batch) & can_hide(batch, subject.tokenizer.mask_id)
        self.hidden = True
        self._count(batch, asked, *score_hidden(subject, batch, asked))

    def _of_text(self, batch: Batch) -> Tensor:
        return (batch.targets != IGNORE) & (batch.targets != self.bytes_of.tokenizer.eot_id)

    def _count(self, batch: Batch, asked: Tensor, scores: Tensor, greedy: Tensor) -> None:
        targets, before = batch.targets[asked], batch.token_ids[asked]
        sizes = torch.from_numpy(self.bytes_of(targets.numpy(), before.numpy()))
        self.nats -= float(scores.double().sum())
        self.right_bytes += int(sizes[greedy].sum())
        self.bytes += int(sizes.sum())
        self.tokens += len(targets)

    def numbers(self) -> dict[str, Any]:
        """Return the numbers, and how they came about where that is another way; nothing where there was no text."""
        if not self.bytes:
            return {}
        numbers = {
            "bits_per_byte": self.nats / math.log(2) / self.bytes,
            "byte_accuracy": self.right_bytes / self.bytes,
        }
        return {**numbers, "num_tokens": self.tokens, "method": METHOD} if self.hidden else numbers
