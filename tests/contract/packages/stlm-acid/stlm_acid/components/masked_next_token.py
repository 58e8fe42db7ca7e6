"""Masked tokens, predicted where the next token would be."""

from typing import Any

from stlm.registry import component, fraction, option, positive


@component("loss", "masked_next_token")
class MaskedNextToken:
    """Masked tokens, each predicted from the position before it (BehnamGhader et al., 2024; arXiv:2404.05961)."""

    masked_fraction: float = option(positive, fraction, default=0.2, doc="Share of the tokens that are masked.")

    def build(self, trainer: Any) -> Any:
        """Return the loss, which changes a batch before the model sees it."""
        from stlm_acid.nn.masked_next_token import MaskedNextTokenLoss

        return MaskedNextTokenLoss(self.masked_fraction)
