"""Rotary positions: q and k are rotated inside each attention."""

from typing import Any

from stlm.registry import component, option, positive, rule


@component("positional_encoding", "rope")
class RoPE:
    """Rotation of q and k by their positions, inside each attention (Su et al., 2021; arXiv:2104.09864)."""

    acts_on = ("qk",)

    rope_theta: float = option(
        positive, default=10000.0, doc="Base of the rotary frequencies; larger ones turn more slowly."
    )

    @rule("positional_encoding_type", "model.attn.head_dim")
    def angles_turn_pairs(positional_encoding_type: str, head_dim: int) -> str | None:
        """The width of a head is even, for a rotation turns pairs of elements."""
        if head_dim % 2 == 0:
            return None
        return (
            f"`{positional_encoding_type}` rotates pairs of elements, but `attn.head_dim` is {head_dim}; "
            "it must be even"
        )

    def build(self, model: Any) -> Any:
        """Build the encoding."""
        from stlm.nn.positions import Rotary

        return Rotary(theta=self.rope_theta)
