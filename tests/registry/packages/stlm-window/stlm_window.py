"""Attention that looks back no further than a window."""

from typing import Any

from stlm.registry import choice, component, option, positive, rule


@component("attention", "window")
class WindowAttention:
    """Causal self-attention in which a position sees itself and the few before it (Beltagy et al., 2020)."""

    num_heads: int = option(positive, doc="Number of heads.")
    window: int = option(positive, doc="Number of positions that are seen, the own one among them.")
    normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")

    @rule("num_heads", "model.hidden_dim")
    def heads_divide_the_width(num_heads: int, hidden_dim: int) -> str | None:
        """The width is a multiple of the number of heads."""
        return f"`num_heads` {num_heads} does not divide `hidden_dim` {hidden_dim}" if hidden_dim % num_heads else None

    def build(self, model: Any) -> Any:
        """Build the attention."""
        from torch import Tensor, nn
        from torch.nn import functional

        class Window(nn.Module):
            """Shape: (batch, seq, hidden) -> (batch, seq, hidden)."""

            def __init__(self, hidden_dim: int, num_heads: int, window: int, norm: nn.Module) -> None:
                super().__init__()
                self.num_heads, self.window, self.norm = num_heads, window, norm
                self.qkv = nn.Linear(hidden_dim, 3 * hidden_dim, bias=False)
                self.out_proj = nn.Linear(hidden_dim, hidden_dim, bias=False)

            def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
                q, k, v = (
                    part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
                    for part in self.qkv(self.norm(x)).chunk(3, dim=-1)
                )
                q, k = context.encode_qk(q, k)
                ones = q.new_ones(q.shape[-2], q.shape[-2]).bool()
                seen = ones.tril() & ones.triu(1 - self.window)
                y = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
                return self.out_proj(y.transpose(1, 2).flatten(-2))

        return Window(model.hidden_dim, self.num_heads, self.window, self.normalization.build(model, model.hidden_dim))
