"""Blocks that are run several times. Shape: (batch, seq, hidden) -> the same."""

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from stlm.nn.core import TransformerCore


class LoopedTransformer(TransformerCore):
    """Run each block ``num_loops`` times; each use has a state of its own in generation.

        cycle       A B A B      immediate   A A B B      (blocks A and B, two loops)

    Where the number of the loop changes, and before the first use, ``loop_embedding`` adds a learned vector for the
    loop that begins; ``input_injection`` adds what entered the core before each further loop of a cycle.
    Sources: Dehghani et al., 2018 (arXiv:1807.03819), without its halting; the order ``immediate`` is of Liu et al.,
    2024 (arXiv:2402.14905); the injection, of Yang et al., 2023 (arXiv:2311.12424).
    """

    def __init__(
        self,
        blocks: Iterable[tuple[nn.Module, nn.Module]],
        *,
        num_loops: int,
        order: Literal["cycle", "immediate"],
        loop_embedding: bool,
        input_injection: bool,
        recompute_every: int,
        hidden_dim: int,
    ) -> None:
        super().__init__(blocks, recompute_every=recompute_every, hidden_dim=hidden_dim)
        self.num_loops, self.order, self.input_injection = num_loops, order, input_injection
        table = torch.empty(num_loops, hidden_dim)
        self.loop_embedding = nn.Embedding.from_pretrained(table, freeze=False) if loop_embedding else None

    def uses(self) -> Sequence[nn.Module]:
        """Return the blocks in the order in which they are run."""
        if self.order == "cycle":
            return [block for _ in range(self.num_loops) for block in self.blocks]
        return [block for block in self.blocks for _ in range(self.num_loops)]

    def enter(self, index: int, x: Tensor, given: Tensor) -> Tensor:
        """Add what stands at the head of a loop, where the use of number ``index`` is the first of one."""
        loop = self._loop(index)
        if index > 0 and loop == self._loop(index - 1):
            return x
        if self.input_injection and loop > 0:
            x = x + given
        return x if self.loop_embedding is None else x + self.loop_embedding.weight[loop].to(x.dtype)

    def _loop(self, index: int) -> int:
        return index // len(self.blocks) if self.order == "cycle" else index % self.num_loops
