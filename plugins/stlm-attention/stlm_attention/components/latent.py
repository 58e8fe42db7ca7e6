"""Multi-head latent attention: keys and values are kept as one narrow vector a token."""

from typing import Any, Literal

from stlm.components.attention.options import even_share
from stlm.components.positional_encoding.options import acts_on
from stlm.registry import choice, component, derived, non_negative, option, positive, rule, same_as


def _rotated_width(qk_nope_head_dim: int, positional_encoding_type: str) -> int:
    return max(2, qk_nope_head_dim // 4 * 2) if "qk" in acts_on(positional_encoding_type) else 0


def _rank(num_heads: int, qk_nope_head_dim: int, v_head_dim: int) -> int:
    return min(4 * qk_nope_head_dim, max(1, num_heads * (qk_nope_head_dim + v_head_dim) // 2))


@component("attention", "latent")
class Latent:
    """Causal attention with keys and values made from one narrow latent a token (DeepSeek-V2, 2024; arXiv:2405.04434).

    During generation the latent is all that is kept, with a part of the key that carries positions and is the same for
    all heads.
    """

    num_heads: int = option(positive, doc="Number of heads; each has keys and values of its own.")
    qk_nope_head_dim: int = option(
        positive,
        default=even_share("num_heads", "qk_nope_head_dim"),
        doc="Width of the part of q and k that carries no positions.",
    )
    qk_rope_head_dim: int = option(
        non_negative,
        default=derived(
            _rotated_width,
            "qk_nope_head_dim",
            "model.positional_encoding_type",
            says="half of `qk_nope_head_dim`, made even; 0 where the positional encoding leaves q and k alone",
        ),
        doc="Width of the part of q and k that a positional encoding acts on; its key is the same for all heads.",
    )
    v_head_dim: int = option(positive, default=same_as("qk_nope_head_dim"), doc="Width of a head's values.")
    kv_lora_rank: int = option(
        positive,
        default=derived(
            _rank,
            "num_heads",
            "qk_nope_head_dim",
            "v_head_dim",
            says="4 · `qk_nope_head_dim`, and at most half the width of all heads' keys and values",
        ),
        doc="Width of the latent that keys and values are made from.",
    )
    q_lora_rank: Literal["none"] | int = option(
        positive, default="none", doc="Width of a latent that queries are made from; `none`: they are made directly."
    )
    normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")
    latent_norm: Any = choice("norm", default="rms_norm", doc="Norm of each latent.")

    @rule("qk_rope_head_dim", "model.positional_encoding_type")
    def positions_have_a_part(qk_rope_head_dim: int, positional_encoding_type: str) -> str | None:
        """A positional encoding that acts on q and k has a part of them to act on, of an even width."""
        if (qk_rope_head_dim > 0 and qk_rope_head_dim % 2 == 0) or "qk" not in acts_on(positional_encoding_type):
            return None
        return (
            f"`qk_rope_head_dim` is {qk_rope_head_dim}, but `positional_encoding_type: {positional_encoding_type}` "
            "acts on that many elements of q and k, in pairs; it must be even and greater than 0"
        )

    @rule("kv_lora_rank", "num_heads", "qk_nope_head_dim", "v_head_dim")
    def the_latent_is_narrower(kv_lora_rank: int, num_heads: int, qk_nope_head_dim: int, v_head_dim: int) -> str | None:
        """The latent is no wider than the keys and values that are made from it."""
        most = num_heads * (qk_nope_head_dim + v_head_dim)
        if kv_lora_rank <= most:
            return None
        return (
            f"`kv_lora_rank` is {kv_lora_rank}, but keys and values of all heads are {most} wide together, so that "
            f"nothing would be compressed; it must be at most {most}"
        )

    def build(self, model: Any) -> Any:
        """Build the attention with its norms."""
        from stlm_attention.nn.latent import LatentAttention

        q_rank = None if self.q_lora_rank == "none" else self.q_lora_rank
        return LatentAttention(
            model.hidden_dim,
            num_heads=self.num_heads,
            qk_nope_head_dim=self.qk_nope_head_dim,
            qk_rope_head_dim=self.qk_rope_head_dim,
            v_head_dim=self.v_head_dim,
            kv_lora_rank=self.kv_lora_rank,
            q_lora_rank=q_rank,
            norm=self.normalization.build(model, model.hidden_dim),
            kv_norm=self.latent_norm.build(model, self.kv_lora_rank),
            q_norm=None if q_rank is None else self.latent_norm.build(model, q_rank),
        )
