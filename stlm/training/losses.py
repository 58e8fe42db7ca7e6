"""What is minimized: callables ``(states, head, batch) -> (sum in float32, number of counted tokens)``."""

from typing import Any

from torch import Tensor

from stlm.data.batch import Batch
from stlm.nn.losses import chunked_cross_entropy, linear_cross_entropy


class NextTokenCrossEntropy:
    """Cross-entropy of the target of each position, in nats; a target of -100 is not counted."""

    def __call__(self, states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Score ``states`` (batch, seq, dim), one row a token, against ``batch.targets`` (batch, seq).

        A head that says its ``weight`` and ``bias`` is a plain linear map, which is cheaper to differentiate.
        """
        rows, targets = states.reshape(-1, states.shape[-1]), batch.targets.reshape(-1)
        if getattr(head, "weight", None) is not None:
            return linear_cross_entropy(rows, targets, head.weight, head.bias)
        return chunked_cross_entropy(rows, targets, head.project)
