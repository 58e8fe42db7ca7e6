"""Sliding-window attention: a position sees itself and the few that stand right before it."""

from typing import Any

from stlm.components.attention.options import SelfAttentionOptions
from stlm.components.positional_encoding.options import acts_on
from stlm.registry import component, option, positive


@component("attention", "sliding_window")
class SlidingWindow(SelfAttentionOptions):
    """Causal self-attention to the nearest tokens only (Beltagy et al., 2020; arXiv:2004.05150), as Mistral has it."""

    window: int = option(positive, doc="Tokens that a position sees, itself among them; its cache holds no more.")

    def build(self, model: Any) -> Any:
        """Build the attention with its norms."""
        from stlm_attention.nn.sliding_window import SlidingWindowAttention

        encoded = "qk" in acts_on(model.positional_encoding.selector)
        return SlidingWindowAttention(
            model.hidden_dim, window=self.window, encoded=encoded, causal=True, **self.parts(model)
        )
