"""Feed-forward networks: what each position thinks by itself. Shape of all: (batch, seq, hidden), in and out."""

from collections.abc import Callable

from torch import Tensor, nn

from stlm.nn import cost
from stlm.nn.context import Context
from stlm.nn.linear import Linear
from stlm.nn.prepared import prepare

_Map = Callable[[Tensor], Tensor]

# Their gradient is a function of their result, which the next projection keeps anyway.
_KEEP_THEIR_RESULT = (nn.ReLU, nn.Sigmoid, nn.Tanh, nn.Identity)


class FeedForward(nn.Module):
    """Two linear layers around an activation, behind a norm and a dropout; the caller adds the residual.

    Source: Vaswani et al., 2017 (arXiv:1706.03762); there, the norm stands behind the residual and there is no
    dropout at the entrance.
    """

    takes_branches = True

    def __init__(
        self,
        hidden_dim: int,
        ffn_dim: int,
        *,
        activation: nn.Module,
        norm: nn.Module,
        bias: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.dropout = nn.Dropout(dropout)
        self.up = Linear(hidden_dim, ffn_dim, bias)
        self.activation = activation
        self.down = Linear(ffn_dim, hidden_dim, bias, into_residual=True)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Compute ``down(activation(up(norm(x))))``."""
        return self.down(self.activation(self.up(self.dropout(self.norm(x)))))

    def prepared(self) -> Callable[..., Tensor]:
        """Return `forward` as a function; see `stlm.nn.prepared`."""
        norm, up, activation, down = map(prepare, (self.norm, self.up, self.activation, self.down))
        return lambda x, context: down(activation(up(norm(x))))

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count what the children keep, and the activation's input where its gradient needs it."""
        kept = 0 if isinstance(self.activation, _KEEP_THEIR_RESULT) else width * self.up.out_features
        dropped = 4 * self.up.in_features if self.dropout.p else 0
        return cost.sum_of_children(cost.saved_bytes_per_token, self, seq_len, width) + kept + dropped


class GatedFeedForward(nn.Module):
    """An activation of one projection times another, projected back; the caller adds the residual.

    Source: Shazeer, 2020 (arXiv:2002.05202); with SiLU, which it is unless another ``activation`` is given, "SwiGLU".
    As one product, gate and up would take 0.9 to 1 of the time of two (docs/explanation/speed.md); Llama's published
    weights have two.
    """

    takes_branches = True

    def __init__(
        self,
        hidden_dim: int,
        ffn_dim: int,
        *,
        norm: nn.Module,
        bias: bool = False,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.activation = nn.SiLU() if activation is None else activation
        self.gate = Linear(hidden_dim, ffn_dim, bias)
        self.up = Linear(hidden_dim, ffn_dim, bias)
        self.down = Linear(ffn_dim, hidden_dim, bias, into_residual=True)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Compute ``down(activation(gate(y)) * up(y))`` of y = norm(x)."""
        return _gated(self.norm(x), self.gate, self.activation, self.up, self.down)

    def prepared(self) -> Callable[..., Tensor]:
        """Return `forward` as a function; see `stlm.nn.prepared`."""
        norm, *parts = map(prepare, (self.norm, self.gate, self.activation, self.up, self.down))
        return lambda x, context: _gated(norm(x), *parts)

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count what the children keep, and what is ``ffn_dim`` wide: the gate before and behind its activation, up."""
        children = cost.sum_of_children(cost.saved_bytes_per_token, self, seq_len, width)
        shared = width * self.up.in_features if width == 4 else 0  # without a copy, both projections keep one input
        factors = 2 if isinstance(self.activation, _KEEP_THEIR_RESULT) else 3
        return children - shared + width * factors * self.up.out_features


def _gated(y: Tensor, gate: _Map, activation: _Map, up: _Map, down: _Map) -> Tensor:
    return down(activation(gate(y)) * up(y))
