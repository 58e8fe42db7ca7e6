"""Sampling from the softmax, narrowed by temperature, top-k, top-p and min-p."""

from typing import Any

from stlm.registry import between, component, non_negative, option, positive


@component("sampler", "standard")
class StandardSampler:
    """Draw from the softmax of the scores, after narrowing it.

    In this order: repetition penalty (Keskar et al., 2019; arXiv:1909.05858), temperature, top-k (Fan et al., 2018;
    arXiv:1805.04833), top-p (Holtzman et al., 2020; arXiv:1904.09751), min-p (Nguyen et al., 2024; arXiv:2407.01082).
    """

    temperature: float = option(
        non_negative, default=1.0, doc="Divides the scores; below 1 sharpens, and 0 always takes the likeliest token."
    )
    top_k: int = option(non_negative, default=0, doc="Keep only this many of the likeliest tokens; 0 keeps all.")
    top_p: float = option(
        between(0.0, 1.0), default=1.0, doc="Keep the fewest likeliest tokens that together have this probability."
    )
    min_p: float = option(
        between(0.0, 1.0),
        default=0.0,
        doc="Keep tokens with at least this share of the likeliest one's probability.",
    )
    repetition_penalty: float = option(
        positive, default=1.0, doc="Divides positive and multiplies negative scores of tokens already seen."
    )

    def build(self) -> Any:
        """Return a callable ``(logits (batch, vocab), history, generator) -> ids (batch,)``."""
        from stlm.generation.sampling import Sampling

        return Sampling(self.temperature, self.top_k, self.top_p, self.min_p, self.repetition_penalty)
