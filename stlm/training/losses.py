"""What is minimized: callables ``(states, head, batch) -> (sum in float32, number of counted tokens)``."""

from typing import Any

import torch
from torch import Tensor

from stlm.data.serving.batch import Batch
from stlm.nn.losses import chunked_cross_entropy, linear_cross_entropy
from stlm.nn.random import derive_seed


class NextTokenCrossEntropy:
    """Cross-entropy of the target of each position, in nats; a target of `IGNORE` is not counted.

    ``rows_at_once`` bounds the logits that are held at any moment.
    """

    def __init__(self, rows_at_once: int = 512) -> None:
        self.rows_at_once = rows_at_once

    def __call__(self, states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Score ``states`` (batch, seq, dim), one row a token, against ``batch.targets`` (batch, seq).

        A head that says its ``weight`` and ``bias`` is a plain linear map, which is cheaper to differentiate.
        """
        rows, targets = states.reshape(-1, states.shape[-1]), batch.targets.reshape(-1)
        if getattr(head, "weight", None) is not None:
            return linear_cross_entropy(rows, targets, head.weight, head.bias, self.rows_at_once)
        return chunked_cross_entropy(rows, targets, head.project, self.rows_at_once)


def prepare_batch(loss: Any, batch: Batch, tokenizer: Any, seed: int, *purpose: object) -> Batch:
    """Let a loss change what the model sees and is asked, by its method ``prepare``; without one the batch stays.

    What it draws depends on the seed and the purpose alone, so a batch is the same whenever it is made.
    """
    prepare = getattr(loss, "prepare", None)
    if prepare is None:
        return batch
    prepared: Batch = prepare(batch, torch.Generator().manual_seed(derive_seed(seed, *purpose)), tokenizer)
    return prepared
