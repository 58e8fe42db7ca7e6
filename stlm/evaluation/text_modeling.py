"""How well a model models running text, a byte: a measure that does not depend on the tokenizer."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from stlm.data.batch import IGNORE
from stlm.data.loader import iterate_windows
from stlm.data.tokens import TokenFile
from stlm.evaluation.quiet import check, evaluating
from stlm.evaluation.scoring import score_targets


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


def text_modeling(
    model: Any,
    tokens: TokenFile,
    tokenizer: Any,
    *,
    context_window: int,
    batch_size: int,
    max_batches: int,
    autocast_dtype: torch.dtype | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[str, float]:
    """Return ``bits_per_byte`` and ``byte_accuracy`` of held-out text; nothing where there is none.

    The text is that of the first ``max_batches`` batches of one pass. Each of its tokens is scored exactly once, given
    those before it in its window; the first token of all is given an end of text.

    - ``bits_per_byte``: the sum of -log2 p(token), over the sum of the tokens' bytes. The ends of documents are no
      text: predicting them is left out of the bits as out of the bytes. A text that the tokenizer simplifies counts
      with the bytes that its tokens stand for.
    - ``byte_accuracy``: the share of bytes that belong to tokens which the model held for the likeliest.
    """
    bytes_of = TokenBytes(tokenizer)
    nats, right_bytes, all_bytes = 0.0, 0, 0
    with evaluating(model, autocast_dtype) as device:
        for batch in itertools.islice(iterate_windows(tokens, context_window, batch_size), max_batches):
            check(interrupted)
            counted = (batch.targets != IGNORE) & (batch.targets != tokenizer.eot_id)
            here = batch.to(device)
            scores, greedy = score_targets(model, here.token_ids, here.targets, here.segments)
            sizes = torch.from_numpy(bytes_of(batch.targets[counted].numpy()))
            nats -= float(scores.cpu()[counted].double().sum())
            right_bytes += int(sizes[greedy.cpu()[counted]].sum())
            all_bytes += int(sizes.sum())
    if not all_bytes:
        return {}
    return {"bits_per_byte": nats / math.log(2) / all_bytes, "byte_accuracy": right_bytes / all_bytes}
