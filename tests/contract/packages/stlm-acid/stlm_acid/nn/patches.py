"""Patches of tokens. Shapes: B = batch, S = tokens, P = tokens of a patch, N = patches (the last may be incomplete).

       t0 t1 t2 │ t3 t4 t5 │ t6 …          Token t is predicted from the output for the latest *whole* patch at or
core:     p0    │    p1    │               before it (a learned vector where there is none), and from the tokens of
sees:  ·  ·  p0   p0 p0 p1   p1 …          its own patch up to t: nothing that follows t is ever looked at.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.nn import Context, Linear, LMHead, cost

TOKENS = "stlm-acid: embedded tokens (B, S, hidden), their positions (1 or B, S), their segments (B, S) or None"


def in_patches(x: Tensor, patch_size: int, fill: float = 0) -> Tensor:
    """Cut the tokens' axis into patches, the last one filled up: (B, S, …) -> (B, N, P, …)."""
    missing = -x.shape[1] % patch_size
    return F.pad(x, (0, 0) * (x.ndim - 2) + (0, missing), value=fill).unflatten(1, (-1, patch_size))


class PatchEmbedder(nn.Module):
    """Look up a vector for each token, and join those of a patch by a linear map: (B, S) -> (B, N, hidden).

    Where segments meet within a patch, the patch belongs to the segment of its last token and holds no other.
    Source: Yu et al., 2023 (arXiv:2305.07185).
    """

    def __init__(self, vocab_size: int, hidden_dim: int, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.positions_per_token = 1 / patch_size
        self.table = nn.Embedding.from_pretrained(torch.empty(vocab_size, hidden_dim), freeze=False)
        self.join = Linear(patch_size * hidden_dim, hidden_dim, bias=False)

    @property
    def tied_weight(self) -> nn.Parameter:
        """The table, which is also the head's."""
        return self.table.weight

    def forward(self, token_ids: Tensor, context: Context) -> Tensor:
        """Embed patches, and give the context their positions and segments in the place of the tokens'."""
        tokens = self.table(token_ids)
        context.memo[TOKENS] = tokens, context.positions, context.segments
        patches = in_patches(tokens, self.patch_size)
        if context.segments is not None:
            segments = in_patches(context.segments, self.patch_size, fill=-1)
            context.segments = segments[:, :, -1]
            patches = patches * (segments == segments[:, :, -1:]).unsqueeze(3)
        context.positions = context.positions[:, :: self.patch_size] // self.patch_size
        return context.encode_input(self.join(patches.flatten(2)))

    def flops_per_token(self, seq_len: int) -> float:
        """Count a token's share of the map that joins its patch."""
        return cost.flops_per_token(self.join, seq_len) / self.patch_size

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count the id, and the token's vector as the map's input."""
        return 8 + width * self.table.embedding_dim


class PatchLMHead(LMHead):
    """One row a token of N patch states: (B, N, hidden) -> (B, S, hidden), then the norm and the map to logits.

    ``local`` is any causal attention; it is told that each patch is a segment, so that tokens attend within theirs.
    """

    def __init__(self, hidden_dim: int, vocab_size: int, *, patch_size: int, local: nn.Module, norm: nn.Module) -> None:
        super().__init__(hidden_dim, vocab_size, norm=norm)
        self.patch_size = patch_size
        self.local = local
        self.start = nn.Parameter(torch.empty(hidden_dim))

    def reset_parameters(self) -> None:
        """Start what stands before the first patch at 0."""
        nn.init.zeros_(self.start)

    def token_states(self, hidden: Tensor, context: Context) -> Tensor:
        """Add what the latest whole patch says to what the tokens since then say."""
        tokens, positions, segments = context.memo[TOKENS]
        batch, seq, _ = tokens.shape
        places = torch.arange(seq, device=tokens.device)
        latest = (places + 1) // self.patch_size  # 0 where there is no whole patch yet
        start = self.start.to(hidden.dtype)
        before = torch.cat((start.expand(batch, 1, -1), hidden), dim=1)[:, latest]
        patch = (places // self.patch_size).expand(batch, -1)
        if segments is not None:
            theirs = F.pad(context.segments, (1, 0), value=-1)[:, latest] == segments
            before = torch.where(theirs.unsqueeze(2), before, start)
            patch = patch + seq * segments
        since = tokens + self.local(tokens, context.at(positions, patch))
        return super().token_states(before + since, context)

    def flops_per_token(self, seq_len: int) -> float:
        """Count the attention at the length of a patch, and the map to logits."""
        return cost.flops_per_token(self.local, self.patch_size) + cost.flops_per_token(self.linear, seq_len)
