"""The transformer core: blocks of attention and feed-forward on a residual stream."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stlm.nn import cost
from stlm.nn.causality import takes_branches
from stlm.nn.context import Context
from stlm.nn.prepared import prepare


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

    def prepared(self) -> Callable[..., Tensor]:
        """Return `forward` with a state as a function; see `stlm.nn.prepared`."""
        attn, ffn = prepare(self.attn), prepare(self.ffn)

        def forward(x: Tensor, context: Context, state: Any) -> Tensor:
            x = x + attn(x, context, state)
            return x + ffn(x, context)

        return forward


class TransformerCore(nn.Module):
    """Blocks in a row, over any attention and feed-forward modules that keep their contracts.

    ``share_ffn``: every block uses the feed-forward parameters of the first, except those under its `norm`.
    ``share_out_proj``: every block uses the parameters of the first block's ``attn.out_proj``. What is shared is one
    parameter that several modules hold, so that it is counted once and stored once.
    ``recompute_every`` = n > 0: the n-th block, the 2n-th and so on keep nothing but their input for the backward
    pass, which runs them again (Chen et al., 2016; arXiv:1604.06174). What is computed is the same. ``hidden_dim``, the
    width of that input, is asked for where there is anything to recompute: the prediction of memory needs it.

    A subclass may run its blocks in another order, or several times each (`uses`), and change the stream before one
    (`enter`); states, costs and what is recomputed then go by uses, not by blocks.
    """

    def __init__(
        self,
        blocks: Iterable[tuple[nn.Module, nn.Module]],
        *,
        share_ffn: bool = False,
        share_out_proj: bool = False,
        recompute_every: int = 0,
        hidden_dim: int | None = None,
    ) -> None:
        super().__init__()
        if recompute_every and hidden_dim is None:
            raise ValueError("a core that recomputes blocks must be told `hidden_dim`")
        self.recompute_every, self.hidden_dim = recompute_every, hidden_dim
        self.blocks = nn.ModuleList(Block(attn, ffn) for attn, ffn in blocks)
        first, *others = self.blocks
        for block in others:
            if share_ffn:
                share_parameters(first.ffn, block.ffn, but="norm.")
            if share_out_proj:
                share_parameters(_out_proj(first.attn), _out_proj(block.attn))

    def uses(self) -> Sequence[nn.Module]:
        """Return the blocks in the order in which a token goes through them; one may stand there several times."""
        return list(self.blocks)

    def enter(self, index: int, x: Tensor, given: Tensor) -> Tensor:
        """Return what the use of number ``index`` is handed: the stream ``x``; ``given`` is what the core was given."""
        return x

    def forward(self, x: Tensor, context: Context, state: list[Any] | None = None) -> Tensor:
        """Shape: (batch, seq, hidden) -> the same."""
        given = x
        for index, block in enumerate(self.uses()):
            x = self.enter(index, x, given)
            if state is None and torch.is_grad_enabled() and self._is_recomputed(index):
                x = _run_recomputed(block, x, context)
            else:
                x = _run(block, x, context, None if state is None else state[index])
        return x

    def prepared(self) -> Callable[..., Tensor]:
        """Return `forward` with a state as a function; see `stlm.nn.prepared`."""
        ready = {id(block): prepare(block) for block in self.blocks}
        blocks = [ready[id(block)] for block in self.uses()]

        def forward(x: Tensor, context: Context, state: list[Any]) -> Tensor:
            given = x
            for index, (block, own) in enumerate(zip(blocks, state, strict=True)):
                x = block(self.enter(index, x, given), context, own)
            return x

        return forward

    def _is_recomputed(self, index: int) -> bool:
        return self.recompute_every > 0 and (index + 1) % self.recompute_every == 0

    def init_state(self, batch: int, max_tokens: int, device: torch.device, dtype: torch.dtype) -> list[Any] | None:
        """Make an empty state for each use; None where an attention cannot go on token by token."""
        makers = [getattr(block.attn, "init_state", None) for block in self.uses()]
        states = [None if make is None else make(batch, max_tokens, device, dtype) for make in makers]
        return None if any(state is None for state in states) else states

    @property
    def takes_branches(self) -> bool:
        """Whether every attention and every feed-forward network keeps to `Context.reach`."""
        return all(takes_branches(part) for block in self.blocks for part in (block.attn, block.ffn))

    def flops_per_token(self, seq_len: int) -> float:
        """Sum over the uses; a shared weight counts in each of them."""
        return sum(cost.flops_per_token(part, seq_len) for block in self.uses() for part in (block.attn, block.ffn))

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count the most that is kept at one moment: when the forward pass ends, or while a block is run again."""
        blocks = [cost.saved_bytes_per_token(block, seq_len, width) for block in self.uses()]
        return self._most_kept(blocks, of_input=4 * (self.hidden_dim or 0))

    def encoded_elements(self) -> int:
        """Count what a positional encoding makes of q and k, kept at that same moment."""
        return round(self._most_kept([cost.encoded_elements(block) for block in self.uses()], of_input=0))

    def _most_kept(self, of_blocks: Sequence[float], of_input: float) -> float:
        """Sum what blocks keep: a recomputed one its input, and all while it runs again, when those behind are gone."""
        kept = most = 0.0
        for index, of_block in enumerate(of_blocks):
            most = max(most, kept + of_block)
            kept += of_input if self._is_recomputed(index) else of_block
        return max(most, kept)


def _run(block: nn.Module, x: Tensor, context: Context, state: Any) -> Tensor:
    """Run a block with a context that holds no losses yet, and add its own to those of the others.

    Where blocks are sharded (FSDP2), torch looks through what they are given for tensors with a gradient, and hands on
    copies of what holds some: a loss that is added to a copy is lost.
    """
    own = replace(context, losses={})
    x = block(x, own, state)
    for name, value in own.losses.items():
        context.add_loss(name, value)
    return x


def _run_recomputed(block: nn.Module, x: Tensor, context: Context) -> Tensor:
    """Run a block that keeps its input alone for the backward pass, which runs it again.

    Both times it is given a context of its own, as the first run found it. What it adds there is a result of the first
    run alone: added twice, a loss would count twice; and a table that the second run found in the memo, where the first
    had to make it, would leave other tensors to save.
    """
    found = replace(context, losses={}, memo=dict(context.memo))  # `context` will hold what this block made, so not it

    def run(x: Tensor) -> tuple[Tensor, dict[str, Tensor], dict[Hashable, Any]]:
        own = replace(found, losses={}, memo=dict(found.memo))
        y = block(x, own)
        made = {k: value for k, value in own.memo.items() if k not in found.memo or value is not found.memo[k]}
        return y, own.losses, made

    y, losses, made = checkpoint(run, x, use_reentrant=False)
    context.memo.update(made)
    for name, value in losses.items():
        context.add_loss(name, value)
    return y


def _out_proj(attn: nn.Module) -> nn.Module:
    found = getattr(attn, "out_proj", None)
    if not isinstance(found, nn.Module):
        raise ValueError(f"{type(attn).__name__} has no module `out_proj` that blocks could share")
    return found


def share_parameters(source: nn.Module, target: nn.Module, but: str | None = None) -> None:
    """Put the parameters of ``source`` in the place of those of the same names in ``target``, but for a prefix."""
    for path, parameter in source.named_parameters(remove_duplicate=False):
        if but is not None and path.startswith(but):
            continue
        owner, _, name = path.rpartition(".")
        setattr(target.get_submodule(owner), name, parameter)
