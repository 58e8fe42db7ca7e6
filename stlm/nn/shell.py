"""The shell: embedder, core and head, joined into a language model."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stlm.nn import cost
from stlm.nn.causality import takes_branches
from stlm.nn.context import Context
from stlm.nn.prepared import prepare


@dataclass
class GenerationState:
    """What a model keeps between calls that go on with the same sequences: its parts' own states, and how far it is.

    ``embedder`` and ``run`` are the embedder and the core made ready for many calls (`stlm.nn.prepared`).
    ``of_embedder`` and ``of_head`` hold what these two are handed besides: a state of their own, or nothing.
    """

    core: Any
    embedder: Callable[..., Tensor]
    run: Callable[..., Tensor]
    of_embedder: tuple[Any, ...] = ()
    of_head: tuple[Any, ...] = ()
    length: int = 0


class ModelShell(nn.Module):
    """Embed tokens, let the core think, map to the vocabulary.

    Where the embedder has a ``tied_weight``, the head is tied to it. Shape: (batch, seq) -> (batch, seq, vocab).
    """

    def __init__(self, embedder: nn.Module, core: nn.Module, head: nn.Module, positional_encoding: nn.Module) -> None:
        super().__init__()
        self.embedder = embedder
        self.positional_encoding = positional_encoding
        self.core = core
        self.head = head
        if embedder.tied_weight is not None:
            head.tie(embedder.tied_weight)

    def forward(
        self,
        token_ids: Tensor,
        *,
        state: GenerationState | None = None,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
    ) -> Tensor:
        """Return logits for every token.

        ``positions`` (1 or batch, seq) count on from the state's length unless given; ``segments`` (batch, seq) keep
        attention among equal ids. With a ``state`` of `init_state`, what was given before is attended to as well.
        """
        states, _ = self.token_states(token_ids, state=state, positions=positions, segments=segments)
        return self.head.project(states)

    def token_states(
        self,
        token_ids: Tensor,
        *,
        state: GenerationState | None = None,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        reach: Tensor | None = None,
    ) -> tuple[Tensor, Context]:
        """Return what `head.project` maps to logits, (batch, seq, dim), and the context with its added losses.

        ``reach`` (batch, seq; see `Context`) goes with ``positions``, to a network that takes branches.
        """
        if positions is None:
            start = 0 if state is None else state.length
            positions = torch.arange(start, start + token_ids.shape[1], device=token_ids.device).unsqueeze(0)
        context = Context(token_ids, positions, segments, self.positional_encoding, reach=reach)
        if state is None:
            return self.head.token_states(self.core(self.embedder(token_ids, context), context), context), context
        device = token_ids.device.type
        made_ready = not (self.training or torch.is_grad_enabled() or torch.is_autocast_enabled(device))
        embedder, core = (state.embedder, state.run) if made_ready else (self.embedder, self.core)
        x = embedder(token_ids, context, *state.of_embedder)
        if x.shape[1]:  # tokens that are pooled may not have filled a position yet
            x = core(x, context, state.core)
        state.length += token_ids.shape[1]
        return self.head.token_states(x, context, *state.of_head), context

    def init_state(self, batch: int, max_tokens: int) -> GenerationState | None:
        """Make an empty state for generation, on the model's device; None where it cannot go on token by token.

        An embedder that pools tokens must have a state of its own, in which those wait that fill no position yet.
        """
        parts = (self.embedder, self.core, self.head)
        makers = [getattr(part, "init_state", None) for part in parts]
        if makers[1] is None or (makers[0] is None and self.embedder.positions_per_token != 1):
            return None
        parameter = next(self.parameters())
        sizes = (max_tokens, math.ceil(max_tokens * self.embedder.positions_per_token), max_tokens)
        made = [
            () if make is None else (make(batch, size, parameter.device, parameter.dtype),)
            for make, size in zip(makers, sizes, strict=True)
        ]
        if any(state is None for states in made for state in states):
            return None
        of_embedder, (core,), of_head = made
        return GenerationState(core, prepare(self.embedder), prepare(self.core), of_embedder, of_head)

    @property
    def takes_branches(self) -> bool:
        """Whether texts that begin alike can share their beginning: where every part keeps to `Context.reach`."""
        encoding = takes_branches(self.positional_encoding, "at_input", "on_qk", "on_heads")
        head = takes_branches(self.head, "token_states")
        return encoding and head and takes_branches(self.embedder) and takes_branches(self.core)

    def flops_per_token(self, seq_len: int) -> float:
        """Count embedder, core and head; the core at the number of positions that the embedder makes of a token."""
        per_token = self.embedder.positions_per_token
        core = per_token * cost.flops_per_token(self.core, round(seq_len * per_token))
        return cost.flops_per_token(self.embedder, seq_len) + core + cost.flops_per_token(self.head, seq_len)

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count what the backward pass needs, but for the logits: those are kept or not by the loss."""
        per_token = self.embedder.positions_per_token
        core = cost.saved_bytes_per_token(self.core, round(seq_len * per_token), width)
        if any(hasattr(self.positional_encoding, act) for act in ("on_qk", "on_heads")):  # new q and k, in each layer
            core += width * cost.encoded_elements(self.core)
        ends = (self.embedder, self.positional_encoding, self.head)
        return per_token * core + sum(cost.saved_bytes_per_token(part, seq_len, width) for part in ends)
