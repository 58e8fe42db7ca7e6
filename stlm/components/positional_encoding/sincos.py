"""Sinusoidal positions: fixed waves of many lengths."""

from typing import Any

from stlm.registry import component, rule


@component("positional_encoding", "sincos")
class SinCos:
    """Fixed sines and cosines, added right after the token embedding (Vaswani et al., 2017; arXiv:1706.03762)."""

    acts_on = ("input",)

    @rule("positional_encoding_type", "model.hidden_dim")
    def waves_come_in_pairs(positional_encoding_type: str, hidden_dim: int) -> str | None:
        """The hidden width is even, for each wave takes a sine and a cosine."""
        if hidden_dim % 2 == 0:
            return None
        return (
            f"`{positional_encoding_type}` pairs a sine with each cosine, but `hidden_dim` is {hidden_dim}; "
            "it must be even"
        )

    def build(self, model: Any) -> Any:
        """Build the encoding."""
        from stlm.nn.positions import SinCos as Encoding

        return Encoding(model.hidden_dim)
