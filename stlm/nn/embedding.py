"""The embedder: from token ids to the first state of the residual stream."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.nn.context import Context


class TokenEmbedding(nn.Module):
    """Look up a trained vector for each token, let the positional encoding act on it, then drop out.

    Shape: (batch, seq) -> (batch, seq, hidden). With ``tied``, the head is to use the same matrix (Press and Wolf,
    2017; arXiv:1608.05859).
    """

    positions_per_token = 1.0
    takes_branches = True

    def __init__(self, vocab_size: int, hidden_dim: int, *, tied: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.tied = tied
        self.token_embedding = nn.Embedding.from_pretrained(torch.empty(vocab_size, hidden_dim), freeze=False)
        self.dropout = nn.Dropout(dropout)

    @property
    def tied_weight(self) -> nn.Parameter | None:
        """The matrix (vocab, hidden) that the head must use, or None where it has its own."""
        return self.token_embedding.weight if self.tied else None

    def forward(self, token_ids: Tensor, context: Context) -> Tensor:
        """Embed tokens."""
        return self.dropout(context.encode_input(self.token_embedding(token_ids)))

    def prepared(self) -> Callable[..., Tensor]:
        """Return `forward` as a function; see `stlm.nn.prepared`."""
        weight = self.token_embedding.weight
        return lambda token_ids, context: context.encode_input(F.embedding(token_ids, weight))

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count the id, and what a dropout draws."""
        return 8 + (4 * self.token_embedding.embedding_dim if self.dropout.p else 0)
