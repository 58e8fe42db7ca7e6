"""The language-model head: from the last hidden state to the vocabulary."""

from typing import Any

from torch import Tensor, nn

from stlm.nn import cost
from stlm.nn.context import Context
from stlm.nn.linear import Linear
from stlm.nn.prepared import is_hooked, stands_for

LinearMap = tuple[Tensor, Tensor | None]
"""A matrix (out, in) and a bias (out,), or None for that."""


class LMHead(nn.Module):
    """Norm, dropout, then one linear map to logits.

    It works in two steps, so that a loss may avoid holding all logits at once: `token_states` gives one row a token,
    (batch, seq, hidden), and `project` maps rows to logits, (..., hidden) -> (..., vocab), each row by itself.
    """

    takes_branches = True

    def __init__(
        self, hidden_dim: int, vocab_size: int, *, norm: nn.Module, bias: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm = norm
        self.dropout = nn.Dropout(dropout)
        self.linear = Linear(hidden_dim, vocab_size, bias, to_vocabulary=True)

    @property
    def weight(self) -> nn.Parameter:
        """The matrix of `project`, (vocab, hidden)."""
        return self.linear.weight

    @property
    def bias(self) -> nn.Parameter | None:
        """The bias of `project`, (vocab,), or None."""
        return self.linear.bias

    def tie(self, weight: nn.Parameter) -> None:
        """Use another module's matrix in the place of its own, which is gone; the bias stays."""
        if weight.shape != self.weight.shape:
            raise ValueError(f"cannot tie a head of {tuple(self.weight.shape)} to a weight of {tuple(weight.shape)}")
        self.linear.weight = weight

    def token_states(self, hidden: Tensor, context: Context) -> Tensor:
        """Make hidden states ready for `project`: one row a token."""
        return self.dropout(self.norm(hidden))

    def project(self, states: Tensor) -> Tensor:
        """Map rows to logits."""
        return self.linear(states)

    def linear_map(self) -> LinearMap | None:
        """Return `weight` and `bias` where they are all of `project`: None where another layer was put in its place."""
        plain = type(self.linear).forward is Linear.forward and "forward" not in vars(self.linear)
        return (self.weight, self.bias) if plain and not is_hooked(self.linear) else None

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """Return logits, (batch, seq, vocab)."""
        return self.project(self.token_states(hidden, context))

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count all but the logits, which the loss keeps or does not."""
        dropped = 4 * self.linear.in_features if self.dropout.p else 0
        return cost.sum_of_children(cost.saved_bytes_per_token, self, seq_len, width) + dropped


def plain_linear_map(head: Any) -> LinearMap | None:
    """Return the matrix and the bias that are all of a head's `project`; None where it is more, or may be.

    A head says them by a method `linear_map`, which counts only for the `project` that stands in the same class: one
    that a subclass wrote anew, to cap its logits say, is another function.
    """
    if not stands_for(head, "linear_map", "project"):
        return None
    said: LinearMap | None = head.linear_map()
    return said
