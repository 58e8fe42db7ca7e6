"""The transformer core: blocks of attention and feed-forward on a residual stream."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from stlm.nn import cost
from stlm.nn.context import Context


class Block(nn.Module):
    """Add to the residual stream what attention says, then what the feed-forward network says.

    Both hold a norm at their entrance ("pre-norm": Xiong et al., 2020; arXiv:2002.04745).
    """

    def __init__(self, attn: nn.Module, ffn: nn.Module) -> None:
        super().__init__()
        self.attn = attn
        self.ffn = ffn

    def forward(self, x: Tensor, context: Context, state: Any = None) -> Tensor:
        """Shape: (batch, seq, hidden) -> the same."""
        x = x + (self.attn(x, context) if state is None else self.attn(x, context, state))
        return x + self.ffn(x, context)


class TransformerCore(nn.Module):
    """Blocks in a row, over any attention and feed-forward modules that keep their contracts.

    ``share_ffn``: every block uses the feed-forward parameters of the first, except those under its `norm`.
    ``share_out_proj``: every block uses the parameters of the first block's ``attn.out_proj``. What is shared is one
    parameter that several modules hold, so that it is counted once and stored once.
    """

    def __init__(
        self, blocks: Iterable[tuple[nn.Module, nn.Module]], *, share_ffn: bool = False, share_out_proj: bool = False
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(attn, ffn) for attn, ffn in blocks)
        first, *others = self.blocks
        for block in others:
            if share_ffn:
                _share(first.ffn, block.ffn, but="norm.")
            if share_out_proj:
                _share(_out_proj(first.attn), _out_proj(block.attn))

    def forward(self, x: Tensor, context: Context, state: list[Any] | None = None) -> Tensor:
        """Shape: (batch, seq, hidden) -> the same."""
        for index, block in enumerate(self.blocks):
            x = block(x, context, None if state is None else state[index])
        return x

    def init_state(self, batch: int, max_tokens: int, device: torch.device, dtype: torch.dtype) -> list[Any] | None:
        """Make an empty state for each layer; None where an attention cannot go on token by token."""
        makers = [getattr(block.attn, "init_state", None) for block in self.blocks]
        states = [None if make is None else make(batch, max_tokens, device, dtype) for make in makers]
        return None if any(state is None for state in states) else states

    def flops_per_token(self, seq_len: int) -> float:
        """Sum over the blocks; a shared weight counts in each of them."""
        return sum(cost.flops_per_token(part, seq_len) for block in self.blocks for part in (block.attn, block.ffn))


def _out_proj(attn: nn.Module) -> nn.Module:
    found = getattr(attn, "out_proj", None)
    if not isinstance(found, nn.Module):
        raise ValueError(f"{type(attn).__name__} has no module `out_proj` that blocks could share")
    return found


def _share(source: nn.Module, target: nn.Module, but: str | None = None) -> None:
    """Put the parameters of ``source`` in the place of those with the same names in ``target``."""
    for path, parameter in source.named_parameters(remove_duplicate=False):
        if but is not None and path.startswith(but):
            continue
        owner, _, name = path.rpartition(".")
        setattr(target.get_submodule(owner), name, parameter)
