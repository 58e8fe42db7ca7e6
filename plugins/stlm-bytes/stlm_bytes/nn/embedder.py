"""From bytes to patches. Shapes: B = batch, S = bytes, P = bytes of a patch, N = whole patches among S.

        b0 b1 b2 │ b3 b4 b5 │ b6            A patch is whole, or not there: what is left over is seen by the head alone,
patches:   p0    │    p1    │               which hears of bytes directly as well.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.nn import Context, Linear, cost
from stlm.nn.context import PADDING

BYTES = "stlm-bytes: the bytes' vectors (B, S, byte_dim) and their segments (B, S), or None"
"""The key of `Context.memo` under which the embedder leaves them to the head."""


@dataclass
class Waiting:
    """Bytes that fill no patch yet: their vectors (B, fewer than P, byte_dim) and their segments (B, fewer than P)."""

    vectors: Tensor
    segments: Tensor


class BytePatchEmbedder(nn.Module):
    """Look up a vector for each byte, and join those of a whole patch by a linear map: (B, S) -> (B, N, hidden).

    Bytes behind the last whole patch are in none. Fewer than P bytes give one patch all the same, which nobody hears
    of: a core need not know how to see nothing. Where segments meet within a patch, it belongs to the segment of its
    last byte and holds no other.
    Source: Yu et al., 2023 (arXiv:2305.07185); there, the vectors side by side are the patch. They are multiplied by
    √byte_dim as in Vaswani et al., 2017 (arXiv:1706.03762): as small as the table's start, they would be drowned in the
    head by what it hears of patches.
    """

    def __init__(
        self, vocab_size: int, hidden_dim: int, *, patch_size: int, byte_dim: int, tied: bool, dropout: float
    ) -> None:
        super().__init__()
        self.patch_size, self.tied, self.scale = patch_size, tied, math.sqrt(byte_dim)
        self.positions_per_token = 1 / patch_size
        self.byte_embedding = nn.Embedding.from_pretrained(torch.empty(vocab_size, byte_dim), freeze=False)
        self.join = Linear(patch_size * byte_dim, hidden_dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    @property
    def tied_weight(self) -> nn.Parameter | None:
        """The matrix (vocab, byte_dim) that the head must use, or None where it has its own."""
        return self.byte_embedding.weight if self.tied else None

    def forward(self, token_ids: Tensor, context: Context, state: Waiting | None = None) -> Tensor:
        """Embed patches, and give the context their positions and segments in the place of the bytes'.

        With a ``state``, the bytes that wait there come first, and N, which may then be 0, counts them too.
        """
        vectors, segments, positions = self.byte_embedding(token_ids) * self.scale, context.segments, context.positions
        context.memo[BYTES] = vectors, segments
        if state is not None:
            waiting = state.vectors.shape[1]
            positions = F.pad(positions, (waiting, 0))  # of a patch, the position of its last byte counts
            vectors, segments = self._with_waiting(vectors, segments, state)
        elif vectors.shape[1] < self.patch_size:
            missing = self.patch_size - vectors.shape[1]
            vectors, positions = F.pad(vectors, (0, 0, 0, missing)), F.pad(positions, (0, missing))
            segments = None if segments is None else F.pad(segments, (0, missing), value=PADDING)
        num = vectors.shape[1] // self.patch_size
        last = slice(self.patch_size - 1, num * self.patch_size, self.patch_size)
        context.positions = positions[:, last] // self.patch_size
        patches = vectors[:, : num * self.patch_size].unflatten(1, (num, self.patch_size))
        if segments is not None:
            of_bytes = segments[:, : num * self.patch_size].unflatten(1, (num, self.patch_size))
            patches = patches * (of_bytes == of_bytes[:, :, -1:]).unsqueeze(3)
            context.segments = of_bytes[:, :, -1]
        return self.dropout(context.encode_input(self.join(patches.flatten(2))))

    def _with_waiting(self, vectors: Tensor, segments: Tensor | None, state: Waiting) -> tuple[Tensor, Tensor | None]:
        """Put the bytes that wait before the others, and let those wait that are left over."""
        given = segments is not None
        segments = segments if segments is not None else state.segments.new_zeros(vectors.shape[:2])
        vectors = torch.cat((state.vectors, vectors), dim=1)
        segments = torch.cat((state.segments, segments), dim=1)
        rest = vectors.shape[1] // self.patch_size * self.patch_size
        state.vectors, state.segments = vectors[:, rest:], segments[:, rest:]
        return vectors, segments if given else None

    def init_state(self, batch: int, max_tokens: int, device: torch.device, dtype: torch.dtype) -> Waiting:
        """Make the state in which nothing waits."""
        none = torch.zeros(batch, 0, dtype=torch.long, device=device)
        return Waiting(torch.zeros(batch, 0, self.byte_embedding.embedding_dim, dtype=dtype, device=device), none)

    def flops_per_token(self, seq_len: int) -> float:
        """Count a byte's share of the map that joins its patch."""
        return cost.flops_per_token(self.join, seq_len) / self.patch_size

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count the id, the byte's vector as the map's input, and its share of what a dropout draws."""
        dropped = 4 * self.join.out_features / self.patch_size if self.dropout.p else 0
        return 8 + width * self.byte_embedding.embedding_dim + dropped
