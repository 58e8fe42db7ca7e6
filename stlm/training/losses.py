"""What is minimized: callables ``(states, head, batch) -> (sum in float32, number of tokens it is the sum of)``.

Which tokens count is said by the batch alone: those whose target is not `IGNORE`. A loss that leaves out others makes
them so in its ``prepare``; for a step is weighed by its targets before any loss was worked out.
"""

from typing import Any

import torch
from torch import Tensor

from stlm.data.serving.batch import IGNORE, Batch
from stlm.nn.head import plain_linear_map
from stlm.nn.losses import chunked_cross_entropy, counted_rows, linear_cross_entropy
from stlm.nn.random import derive_seed
from stlm.spec.errors import WorkError


class NextTokenCrossEntropy:
    """Cross-entropy of the target of each position, in nats; a target of `IGNORE` is not counted.

    ``rows_at_once`` bounds the logits that are held at any moment. Rows that are not counted are left out before they
    meet the head: on the CPU always, and elsewhere where ``few_rows`` says that many are, for the device must then tell
    how many, which the process waits for.
    """

    def __init__(self, rows_at_once: int = 512, *, few_rows: bool = False) -> None:
        self.rows_at_once = rows_at_once
        self.few_rows = few_rows

    def __call__(self, states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Score ``states`` (batch, seq, dim), one row a token, against ``batch.targets`` (batch, seq).

        A head whose ``project`` is a plain linear map is cheaper to differentiate; it says so by ``linear_map``.
        """
        rows, targets = states.reshape(-1, states.shape[-1]), batch.targets.reshape(-1)
        if self.few_rows or targets.device.type == "cpu":
            rows, targets = counted_rows(rows, targets)
        plain = plain_linear_map(head)
        if plain is not None:
            return linear_cross_entropy(rows, targets, *plain, self.rows_at_once)
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


def require_counted(loss: Any, count: Tensor, batch: Batch) -> None:
    """Raise `WorkError` where a loss has counted other tokens of ``batch`` than those with a target."""
    said, there = int(count), int((batch.targets != IGNORE).sum())
    if said != there:
        raise WorkError(
            f"the loss `{type(loss).__name__}` says that it counted {said} tokens, and {there} targets of the batch "
            "are not IGNORE; one that leaves tokens out must set their targets to IGNORE in its `prepare`"
        )
