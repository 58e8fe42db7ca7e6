"""Sliding-window attention: a position sees itself and the few that stand right before it."""

from typing import Any

from stlm.registry import component, option, positive
from stlm_attention.components.options import HeadOptions


@component("attention", "sliding_window")
class SlidingWindow(HeadOptions):
    """Causal self-attention to the nearest tokens only (Beltagy et al., 2020; arXiv:2004.05150), as Mistral has it."""

    window: int = option(positive, doc="Tokens that a position sees, itself among them; its cache holds no more.")

    def build(self, model: Any) -> Any:
        """Build the attention with its norms."""
        from stlm_attention.nn.sliding_window import SlidingWindowAttention

        return SlidingWindowAttention(model.hidden_dim, window=self.window, **self.parts(model))
