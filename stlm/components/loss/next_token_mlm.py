"""Masked next-token prediction: hidden tokens, each predicted from the position before it."""

from typing import Any

from stlm.registry import component, fraction, option, positive, rule


@component("loss", "next_token_mlm")
class NextTokenMLM:
    """Cross-entropy, in nats, of tokens that are hidden behind the tokenizer's mask token, and of these alone.

    Each is predicted from the position before it, as the next token is (BehnamGhader et al., 2024; arXiv:2404.05961),
    so that attention may be `bidirectional` or `causal`. The mask token itself is never asked for, nor the last target
    of a window, which is not among its inputs. Where chance hides nothing in a micro-batch, one token is hidden.
    """

    mlm_probability: float = option(
        positive, fraction, default=0.15, doc="Share of the tokens that are masked, each by chance."
    )

    rows_at_once = 512

    @rule("model.context_window")
    def a_window_has_a_token_to_mask(context_window: int) -> str | None:
        """`context_window` is 2 or more, for the first token of a window has no position before it."""
        if context_window > 1:
            return None
        return "`context_window` is 1, but `next_token_mlm` predicts a token from the one before it in the window"

    def build(self, trainer: Any) -> Any:
        """Return a callable ``(states, head, batch) -> (sum in float32, number of targets)`` with `prepare`."""
        from stlm.training.masking import MaskedNextToken

        return MaskedNextToken(self.mlm_probability, self.rows_at_once)
