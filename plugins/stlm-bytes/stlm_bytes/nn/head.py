"""From patches to bytes. Shapes: B = batch, S = bytes, P = bytes of a patch, N = patches, D = the local width.

The state of byte t predicts byte t + 1, so it belongs to the patch of that one, and the local network is moved back by
a byte: its first slot holds the last byte of the patch before.

    predicts    b0 b1 b2 │ b3 b4 b5 │ b6        Each slot is the vector of the byte before, and what the core said of
    from        ·  b0 b1 │ b2 b3 b4 │ b5        the patches before (a learned vector where there is none); within the
    and hears      start │    p0    │ p1        patch, a slot sees those before it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.nn import Context, GatedFeedForward, Linear, LMHead, SelfAttention, TransformerCore, cost
from stlm.nn.context import PADDING
from stlm_bytes.nn.embedder import BYTES


@dataclass
class OpenPatch:
    """The patch that a sequence is in: its local caches, and what its free slots will hear.

    Shapes: ``heard`` (B, free slots, D), and ``segments`` (B, free slots) of the patch that is heard.
    """

    caches: Any
    heard: Tensor
    segments: Tensor
    begun: bool = False


class BytePatchLMHead(LMHead):
    """One row a byte of N patch states: (B, N, hidden) -> (B, S, D), then the map to logits.

    The core's state of a patch is spread into P vectors, one for each slot of the patch behind it; that also tells the
    local network which slot is which. It has no positional encoding.
    Source: Yu et al., 2023 (arXiv:2305.07185); there, the first slot of a patch holds no byte.
    """

    def __init__(
        self,
        hidden_dim: int,
        vocab_size: int,
        *,
        patch_size: int,
        layers: int,
        local_dim: int,
        num_heads: int,
        ffn_dim: int,
        norm: Callable[[int], nn.Module],
        bias: bool,
        dropout: float,
    ) -> None:
        super().__init__(local_dim, vocab_size, norm=norm(local_dim), bias=bias, dropout=dropout)
        heads = {"num_q_heads": num_heads, "num_kv_heads": num_heads, "head_dim": local_dim // num_heads}
        self.patch_size, self.local_dim = patch_size, local_dim
        self.patch_norm = norm(hidden_dim)
        self.spread = Linear(hidden_dim, patch_size * local_dim, bias=False)
        self.start = nn.Parameter(torch.empty(patch_size * local_dim))
        self.local = TransformerCore(
            (
                SelfAttention(local_dim, **heads, causal=True, norm=norm(local_dim)),
                GatedFeedForward(local_dim, ffn_dim, norm=norm(local_dim)),
            )
            for _ in range(layers)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start what is heard before the first patch at 0."""
        nn.init.zeros_(self.start)

    def token_states(self, hidden: Tensor, context: Context, state: OpenPatch | None = None) -> Tensor:
        """Let the local network run over what is heard of patches and the bytes since.

        With a ``state``, S bytes go on from those of earlier calls, and N is how many patches they have filled.
        """
        vectors, segments = context.memo[BYTES]
        patch = self._first_patch(vectors, None) if state is None else state
        begins, patch.begun = not patch.begun, True
        if begins:  # before the first byte there is none; its slot is of the first text
            vectors = F.pad(vectors, (0, 0, 1, 0))
            segments = None if segments is None else torch.cat((segments[:, :1], segments), dim=1)
            patch.heard = patch.heard + self.start.view(1, self.patch_size, self.local_dim)
        free = patch.heard.shape[1]
        x = vectors + self._heard(hidden, segments, context.segments, vectors.shape[1], patch)
        if state is None:
            x = self._within_patches(x, segments, context)
        else:
            x = self._go_on(x, segments, context, state, free)
        return super().token_states(x[:, 1:] if begins else x, context)

    def _first_patch(self, like: Tensor, caches: Any) -> OpenPatch:
        batch, size = len(like), self.patch_size
        return OpenPatch(caches, like.new_zeros(batch, size, self.local_dim), like.new_zeros(batch, size).long())

    def _heard(
        self, hidden: Tensor, segments: Tensor | None, of_patches: Tensor | None, slots: int, patch: OpenPatch
    ) -> Tensor:
        """Return what each slot hears of the patch before its own, (B, slots, D): nothing from another segment.

        What later slots will hear goes to ``patch``, the one that is open.
        """
        free = patch.heard.shape[1]
        spread = self.spread(self.patch_norm(hidden)).unflatten(2, (self.patch_size, self.local_dim)).flatten(1, 2)
        heard = torch.cat((patch.heard.to(spread.dtype), spread), dim=1)
        if of_patches is None:
            of_patches = patch.segments.new_zeros(hidden.shape[:2])
        source = torch.cat((patch.segments, of_patches.repeat_interleave(self.patch_size, dim=1)), dim=1)
        patch.heard, patch.segments = heard[:, slots:], source[:, slots:]
        heard, source = heard[:, :slots], source[:, :slots]
        if segments is None:
            return heard
        start = self.start.view(1, self.patch_size, self.local_dim).to(heard.dtype)
        place = (torch.arange(slots, device=heard.device) - free) % self.patch_size
        return torch.where((source == segments).unsqueeze(2), heard, start[:, place])

    def _within_patches(self, x: Tensor, segments: Tensor | None, context: Context) -> Tensor:
        """Run the local network over slots (B, S, D) from the first of a patch on, the patches side by side."""
        batch, slots, _ = x.shape
        missing = -slots % self.patch_size
        rows = F.pad(x, (0, 0, 0, missing)).view(-1, self.patch_size, self.local_dim)
        if segments is not None:
            segments = F.pad(segments, (0, missing), value=PADDING).view(-1, self.patch_size)
        rows = self.local(rows, _within(context, segments))
        return rows.view(batch, slots + missing, self.local_dim)[:, :slots]

    def _go_on(self, x: Tensor, segments: Tensor | None, context: Context, state: OpenPatch, free: int) -> Tensor:
        """Fill the patch that is open, then whole ones, then open another: (B, S, D) -> the same."""
        slots = x.shape[1]
        first = min(free, slots)
        whole = first + (slots - first) // self.patch_size * self.patch_size

        def part(start: int, end: int) -> tuple[Tensor, Tensor | None]:
            return x[:, start:end], None if segments is None else segments[:, start:end]

        done = []
        if first:
            rows, own = part(0, first)
            done.append(self.local(rows, _within(context, own), state.caches))
        if whole > first:
            done.append(self._within_patches(*part(first, whole), context))
        if slots > whole:
            state.caches = self.local.init_state(len(x), self.patch_size, x.device, x.dtype)
            rows, own = part(whole, slots)
            done.append(self.local(rows, _within(context, own), state.caches))
        return torch.cat(done, dim=1)

    def init_state(self, batch: int, max_tokens: int, device: torch.device, dtype: torch.dtype) -> OpenPatch:
        """Make the state before the first byte."""
        caches = self.local.init_state(batch, self.patch_size, device, dtype)
        return self._first_patch(torch.empty(batch, dtype=dtype, device=device), caches)

    def flops_per_token(self, seq_len: int) -> float:
        """Count a byte's share of what is spread, the local network at the length of a patch, and the map to logits."""
        spread = cost.flops_per_token(self.spread, seq_len) / self.patch_size
        return spread + cost.flops_per_token(self.local, self.patch_size) + cost.flops_per_token(self.linear, seq_len)

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count a byte's share of what its patch keeps, and what the local network and the map's input take."""
        of_patch = sum(cost.saved_bytes_per_token(part, seq_len, width) for part in (self.patch_norm, self.spread))
        dropped = 4 * self.local_dim if self.dropout.p else 0
        parts = (self.local, self.norm, self.linear)
        of_byte = sum(cost.saved_bytes_per_token(part, self.patch_size, width) for part in parts)
        return of_patch / self.patch_size + of_byte + dropped


def _within(context: Context, segments: Tensor | None) -> Context:
    """Make the context of the local network: a patch is a sequence of its own, and slots need no encoding."""
    return replace(context.at(context.positions[:, :0], segments), positional_encoding=None)
