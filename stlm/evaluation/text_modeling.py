"""How well a model models running text, a byte: a measure that does not depend on the tokenizer."""

import math
from typing import Any

import torch
from torch import Tensor

from stlm.data.serving.batch import IGNORE, Batch
from stlm.data.tokenizers.token_bytes import TokenBytes
from stlm.evaluation.scoring import score_states


class TextModeling:
    """The ``bits_per_byte`` and ``byte_accuracy`` of held-out text.

    Each token is scored exactly once, given those before it in its window; the first of all is given an end of text.

    - ``bits_per_byte``: the sum of -log2 p(token), over the sum of the tokens' bytes. The ends of documents are no
      text: predicting them is left out of the bits as out of the bytes. A text that the tokenizer simplifies counts
      with the bytes that its tokens stand for.
    - ``byte_accuracy``: the share of bytes that belong to tokens which the model held for the likeliest.
    """

    def __init__(self, bytes_of: TokenBytes) -> None:
        self.bytes_of = bytes_of
        self.nats, self.right_bytes, self.bytes = 0.0, 0, 0

    def add(self, head: Any, states: Tensor, batch: Batch) -> None:
        """Score the targets of a batch on the CPU, for which the model made ``states`` (batch, seq, dim)."""
        counted = (batch.targets != IGNORE) & (batch.targets != self.bytes_of.tokenizer.eot_id)
        scores, greedy = score_states(head, states, batch.targets.to(states.device))
        sizes = torch.from_numpy(self.bytes_of(batch.targets[counted].numpy()))
        self.nats -= float(scores.cpu()[counted].double().sum())
        self.right_bytes += int(sizes[greedy.cpu()[counted]].sum())
        self.bytes += int(sizes.sum())

    def numbers(self) -> dict[str, float]:
        """Return the numbers; nothing where there was no text."""
        if not self.bytes:
            return {}
        return {"bits_per_byte": self.nats / math.log(2) / self.bytes, "byte_accuracy": self.right_bytes / self.bytes}
