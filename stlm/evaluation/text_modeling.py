"""How well a model models running text, a byte: a measure that does not depend on the tokenizer."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stlm.data.serving.batch import IGNORE, Batch
from stlm.evaluation.scoring import score_states


class TokenBytes:
    """The number of UTF-8 bytes that each token stands for within a text."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.known = np.full(tokenizer.vocab_size, -1, dtype=np.int64)

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """Return the bytes of each of ``ids`` (n,); the end of a text has none.

        A token is measured behind another of its kind, since some tokenizers drop the space at the head of a text.
        """
        for one in np.unique(ids[self.known[ids] < 0]).tolist():
            twice, once = self.tokenizer.decode_bytes([one, one]), self.tokenizer.decode_bytes([one])
            self.known[one] = 0 if one == self.tokenizer.eot_id else len(twice) - len(once)
        return self.known[ids]


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
