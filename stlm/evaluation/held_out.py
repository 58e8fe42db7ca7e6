"""The loss on held-out data: what the trainer minimizes, on text that it never sees."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch

from stlm.data.batch import IGNORE
from stlm.data.loader import iterate_windows
from stlm.data.tokens import TokenFile
from stlm.evaluation.quiet import check, evaluating
from stlm.evaluation.text_modeling import TokenBytes
from stlm.nn.random import derive_seed


def held_out_loss(
    model: Any,
    loss: Any,
    tokens: TokenFile,
    tokenizer: Any,
    *,
    context_window: int,
    batch_size: int,
    max_batches: int,
    autocast_dtype: torch.dtype | None = None,
    seed: int,
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[str, float]:
    """Return the mean ``loss`` in nats a counted token, ``perplexity`` and ``bits_per_byte``; nothing without tokens.

    The batches are the first ``max_batches`` of one pass in order, so they are the same at every evaluation. Each loss
    is weighted by its number of counted tokens. The bits are those of all counted tokens, ends of documents included,
    over the bytes that these tokens stand for; `text_modeling` has those of the text alone. A loss that draws random
    numbers draws the same ones each time.
    """
    total, counted, all_bytes = 0.0, 0.0, 0
    bytes_of = TokenBytes(tokenizer)
    prepare = getattr(loss, "prepare", None)
    with evaluating(model, autocast_dtype) as device:
        batches = itertools.islice(iterate_windows(tokens, context_window, batch_size), max_batches)
        for index, batch in enumerate(batches):
            check(interrupted)
            if prepare is not None:
                generator = torch.Generator().manual_seed(derive_seed(seed, "held-out", index))
                batch = prepare(batch, generator, tokenizer)
            batch = batch.to(device)
            states, _ = model.token_states(batch.token_ids, segments=batch.segments)
            loss_sum, count = loss(states, model.head, batch)
            total += float(loss_sum)
            counted += float(count)
            all_bytes += int(bytes_of(batch.targets[batch.targets != IGNORE].cpu().numpy()).sum())
    if not counted:
        return {}
    mean = total / counted
    numbers = {"loss": mean, "perplexity": math.exp(min(mean, 700.0))}
    return numbers | ({"bits_per_byte": total / math.log(2) / all_bytes} if all_bytes else {})
