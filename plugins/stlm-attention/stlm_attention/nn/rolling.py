"""A key-value cache that forgets. Shapes: B = batch, S = tokens of this call, T = tokens returned, Hkv = heads."""

import torch
from torch import Tensor


class RollingCache:
    """The latest keys and values: token number t is kept in slot t modulo `window`, until another takes its place.

    ``keys`` and ``values`` are (B, Hkv, slots, head_dim), with no more slots than a window or a text has tokens.
    ``segments``, kept where the first call gave them, are (B, slots). Source: Jiang et al., 2023 (arXiv:2310.06825).
    """

    def __init__(
        self,
        batch: int,
        heads: int,
        max_tokens: int,
        head_dim: int,
        device: torch.device,
        dtype: torch.dtype,
        *,
        window: int,
    ) -> None:
        self.max_tokens, self.window = max_tokens, window
        self.keys = torch.empty(batch, heads, min(window, max_tokens), head_dim, device=device, dtype=dtype)
        self.values = torch.empty_like(self.keys)
        self.segments: Tensor | None = None
        self.length = 0

    def append(self, k: Tensor, v: Tensor, segments: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Store S more tokens; return those and all earlier ones that one of them sees, (B, Hkv, T, head_dim) each.

        They stand in their order, but for a single token, which sees all that it gets, as they lie in their slots.
        Segments (B, T) come with them where there are any.
        """
        start, new = self.length, k.shape[2]
        if start + new > self.max_tokens:
            raise ValueError(f"a cache of {self.max_tokens} tokens cannot take {new} more after {start}")
        if segments is not None and start == 0:
            self.segments = segments.new_zeros(self.keys.shape[0], self.keys.shape[2])
        own = None
        if self.segments is not None:
            own = self.segments.new_zeros(k.shape[0], new) if segments is None else segments
        self.length += new
        if new == 1:
            return self._append_one(k, v, own)
        past = self._slots(start - min(start, self.window - 1), start)
        seen = [_joined(kept, past, more, 2) for kept, more in ((self.keys, k), (self.values, v))]
        seen_segments = None if own is None else _joined(self.segments, past, own, 1)
        newest = min(new, self.keys.shape[2])
        slots = self._slots(self.length - newest, self.length)
        self.keys.index_copy_(2, slots, k[:, :, new - newest :].to(self.keys.dtype))
        self.values.index_copy_(2, slots, v[:, :, new - newest :].to(self.values.dtype))
        if own is not None:
            self.segments.index_copy_(1, slots, own[:, new - newest :])
        return seen[0], seen[1], seen_segments

    def _append_one(self, k: Tensor, v: Tensor, own: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        room = self.keys.shape[2]
        slot, filled = (self.length - 1) % room, min(self.length, room)
        self.keys.narrow(2, slot, 1).copy_(k)
        self.values.narrow(2, slot, 1).copy_(v)
        if own is not None:
            self.segments.narrow(1, slot, 1).copy_(own)
        keys, values = (kept.narrow(2, 0, filled).to(k.dtype) for kept in (self.keys, self.values))
        return keys, values, None if own is None else self.segments[:, :filled]

    def _slots(self, start: int, end: int) -> Tensor:
        return torch.arange(start, end, device=self.keys.device) % self.keys.shape[2]


def _joined(kept: Tensor, slots: Tensor, more: Tensor, dim: int) -> Tensor:
    return torch.cat((kept.index_select(dim, slots).to(more.dtype), more), dim=dim)
