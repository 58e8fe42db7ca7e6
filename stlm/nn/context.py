"""What the modules of one forward pass know in common: where tokens stand, and what they tell each other."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

PADDING = -1
"""The segment of what is no token of a text."""


@dataclass
class Context:
    """The shared state of one forward pass; made by the shell, handed to every part, thrown away at the end.

    Shapes: ``token_ids`` (batch, seq); ``positions`` (1 or batch, hidden_seq), integers; ``segments``, where given,
    (batch, hidden_seq): attention stays among equal ids, padding has the id `PADDING`. ``hidden_seq`` is ``seq`` except
    behind an embedder that pools tokens, which then sets ``positions`` and ``segments`` to its own.

    ``reach``, where given, (batch, seq): position t is seen only by those before ``reach[b, t]``. So texts that begin
    alike share their beginning, each a branch that goes on from it and does not see the others. It is given only where
    every part says ``takes_branches``: that it keeps to it, or looks at each position by itself.

    ``losses`` are scalars that parts of the network add to the objective, each already scaled and a mean over tokens.
    ``memo`` keeps what several layers would otherwise compute alike (a rotary table, a mask).
    """

    token_ids: Tensor
    positions: Tensor
    segments: Tensor | None = None
    positional_encoding: nn.Module | None = None
    losses: dict[str, Tensor] = field(default_factory=dict)
    memo: dict[Hashable, Any] = field(default_factory=dict)
    reach: Tensor | None = None

    def add_loss(self, name: str, value: Tensor) -> None:
        """Add a scalar to the objective; what several layers add under one name is summed.

        Which tokens it is of is its own affair: padding, and what ``loss_on`` leaves out, is not taken off. Raises
        `ValueError` where it is no scalar.
        """
        if value.dim():
            raise ValueError(f"the added loss `{name}` must be one number, and has the shape {tuple(value.shape)}")
        self.losses[name] = self.losses[name] + value if name in self.losses else value

    def at(self, positions: Tensor, segments: Tensor | None) -> "Context":
        """Make the context of a part that works at other positions than the rest; it adds to the same losses.

        Its memo is its own, for most of what is kept there belongs to the positions and segments that it was made for.
        """
        return replace(self, positions=positions, segments=segments, memo={})

    def encode_input(self, x: Tensor) -> Tensor:
        """Let the positional encoding act on embedded tokens, (batch, hidden_seq, hidden), if it acts there."""
        act = getattr(self.positional_encoding, "at_input", None)
        return x if act is None else act(x, self.positions)

    def encode_qk(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Let the positional encoding act on q and k, (batch, heads, hidden_seq, head_dim), if it acts there."""
        act = getattr(self.positional_encoding, "on_qk", None)
        if act is not None:
            return act(q, k, self.positions, self.memo)
        act = getattr(self.positional_encoding, "on_heads", None)
        if act is None:
            return q, k
        return act(q, self.positions, self.memo), act(k, self.positions, self.memo)

    def encode_heads(self, qk: Tensor, num_q_heads: int) -> tuple[Tensor, Tensor]:
        """Do what `encode_qk` does to the heads of q and those of k behind them, as one tensor where that can be."""
        q, k = _apart(qk, num_q_heads)
        if hasattr(self.positional_encoding, "on_qk"):
            return self.encode_qk(q, k)
        act = getattr(self.positional_encoding, "on_heads", None)
        return (q, k) if act is None else _apart(act(qk, self.positions, self.memo), num_q_heads)


def _apart(heads: Tensor, num_q_heads: int) -> tuple[Tensor, Tensor]:
    return heads.narrow(1, 0, num_q_heads), heads.narrow(1, num_q_heads, heads.shape[1] - num_q_heads)
