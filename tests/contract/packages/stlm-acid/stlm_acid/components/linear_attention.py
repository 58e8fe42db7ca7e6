"""Linear attention: what was seen is kept as a sum that does not grow."""

from typing import Any

from stlm.registry import choice, component, option, positive, rule


@component("attention", "linear")
class LinearAttention:
    """Causal attention with elu + 1 in the place of the softmax's exponential (Katharopoulos et al., 2020)."""

    num_heads: int = option(positive, doc="Number of heads; divides `hidden_dim`.")
    chunk_size: int = option(
        positive, default=64, doc="Tokens that are compared with each other at once; the result is the same for all."
    )
    normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")

    @rule("num_heads", "model.hidden_dim")
    def heads_divide_evenly(num_heads: int, hidden_dim: int) -> str | None:
        """The hidden width splits evenly among the heads."""
        if hidden_dim % num_heads:
            return f"`hidden_dim` {hidden_dim} cannot be split evenly among `num_heads` {num_heads}"
        return None

    def build(self, model: Any) -> Any:
        """Build the attention with its norm."""
        from stlm_acid.nn.linear_attention import RunningAttention

        norm = self.normalization.build(model, model.hidden_dim)
        return RunningAttention(model.hidden_dim, self.num_heads, chunk_size=self.chunk_size, norm=norm)
