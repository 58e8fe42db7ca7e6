"""Next-token cross-entropy: the negative log-probability of the token that comes next."""

from typing import Any

from stlm.registry import component


@component("loss", "cross_entropy")
class CrossEntropy:
    """Cross-entropy of the next token, in nats, over every position that has a target.

    The logits of a whole batch are never held at once: rows go through the head in chunks.
    """

    rows_at_once = 512

    def build(self, trainer: Any) -> Any:
        """Return a callable ``(states, head, batch) -> (sum in float32, number of targets)``."""
        from stlm.training.losses import NextTokenCrossEntropy

        few_rows = getattr(trainer, "loss_on", "all") == "completion"
        return NextTokenCrossEntropy(self.rows_at_once, few_rows=few_rows)
