"""Linear attention. Shapes: B = batch, S = tokens, H = heads, D = width of a head."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.nn import Context, Linear, cost


class RunningSums:
    """What linear attention remembers, however long the text: for each head a matrix and a vector.

    ``outer`` (B, H, D, D) is the sum of k vᵀ, ``keys`` (B, H, D) the sum of k, both in float32, over the tokens of one
    segment: that of the latest token, ``segment`` (B, 1), or all tokens where there are no segments. Equal segment ids
    are taken to stand side by side.
    """

    def __init__(self, batch: int, heads: int, head_dim: int, device: torch.device) -> None:
        self.outer = torch.zeros(batch, heads, head_dim, head_dim, device=device)
        self.keys = torch.zeros(batch, heads, head_dim, device=device)
        self.segment: Tensor | None = None

    def attend(self, q: Tensor, k: Tensor, v: Tensor, segments: Tensor | None) -> Tensor:
        """Attend to the past and, causally, within these S tokens; then take them in. All (B, H, S, D), float32."""
        scores = (q @ k.transpose(2, 3)).tril()
        reaching, staying, goes_on = q, k, 1.0
        if segments is not None:
            scores = scores * (segments.unsqueeze(2) == segments.unsqueeze(1)).unsqueeze(1)
            latest = segments[:, -1:]
            before = latest if self.segment is None else self.segment
            reaching, staying = q * _rows(segments == before), k * _rows(segments == latest)
            goes_on = _rows(before == latest)
            self.segment = latest
        keys = self.keys.unsqueeze(3)
        y = (scores @ v + reaching @ self.outer) / (scores.sum(3, keepdim=True) + reaching @ keys)
        self.outer = self.outer * goes_on + staying.transpose(2, 3) @ v
        self.keys = (keys * goes_on).squeeze(3) + staying.sum(2)
        return y


def _rows(flags: Tensor) -> Tensor:
    return flags[:, None, :, None].float()


class RunningAttention(nn.Module):
    """Causal attention with the kernel φ(q)·φ(k), φ = elu + 1: y_i = Σ φ(q_i)·φ(k_j) v_j / Σ φ(q_i)·φ(k_j), j ≤ i.

    Shape: (B, S, hidden) -> (B, S, hidden), without the residual. Within a chunk, tokens are compared pair by pair;
    what precedes the chunk is read off the running sums. A whole text in training and one token at a time in
    generation are the same computation in chunks of different sizes.
    Source: Katharopoulos et al., 2020 (arXiv:2006.16236), equations 8 to 12; the chunks are not in the paper.
    """

    def __init__(self, hidden_dim: int, num_heads: int, *, chunk_size: int, norm: nn.Module) -> None:
        super().__init__()
        self.num_heads, self.chunk_size = num_heads, chunk_size
        self.norm = norm
        self.qkv = Linear(hidden_dim, 3 * hidden_dim, bias=False, parts=(hidden_dim,) * 3)
        self.out_proj = Linear(hidden_dim, hidden_dim, bias=False, into_residual=True)

    def forward(self, x: Tensor, context: Context, state: RunningSums | None = None) -> Tensor:
        """Attend within ``x``, and, with a ``state``, to all that it has taken in."""
        batch, seq, hidden = x.shape
        q, k, v = self.qkv(self.norm(x)).view(batch, seq, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k = context.encode_qk(q, k)
        q, k, v = F.elu(q.float()) + 1, F.elu(k.float()) + 1, v.float()
        state = state or self.init_state(batch, seq, x.device, torch.float32)
        chunks = [tensor.split(self.chunk_size, dim=2) for tensor in (q, k, v)]
        segments = [None] * len(chunks[0])
        if context.segments is not None:
            segments = context.segments.split(self.chunk_size, dim=1)
        y = torch.cat([state.attend(*parts) for parts in zip(*chunks, segments, strict=True)], dim=2)
        return self.out_proj(y.to(x.dtype).transpose(1, 2).reshape(batch, seq, hidden))

    def init_state(self, batch: int, max_tokens: int, device: torch.device, dtype: torch.dtype) -> RunningSums:
        """Make empty sums, in float32 whatever the model's dtype; their size does not depend on ``max_tokens``."""
        return RunningSums(batch, self.num_heads, self.out_proj.in_features // self.num_heads, device)

    def flops_per_token(self, seq_len: int) -> float:
        """Count the projections, half of the pairs of a chunk, and reading and writing the sums."""
        hidden = self.out_proj.in_features
        pairs = 2 * min(self.chunk_size, seq_len) * hidden
        sums = 4 * hidden * hidden / self.num_heads
        return cost.sum_of_children(cost.flops_per_token, self, seq_len) + pairs + sums
