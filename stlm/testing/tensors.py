"""Numbers to look at networks with: tokens, an objective, and how far two tensors are apart."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from stlm.nn.modes import Precision, autocast
from stlm.testing.bench import VOCABULARY

_T = TypeVar("_T")

BATCHES = 8
"""Batches until which a parameter must have met a token, where that depends on the tokens."""


def token_ids(batch: int = 2, seq: int = 16, vocab: int = VOCABULARY, seed: int = 0) -> Tensor:
    """Tokens drawn at random, (batch, seq)."""
    return torch.randint(vocab, (batch, seq), generator=torch.Generator().manual_seed(seed))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Numbers drawn from a normal distribution."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def objective(model: Any, ids: Tensor, segments: Tensor | None = None) -> Tensor:
    """A number that every part of a network has a hand in: a random sum of its logits, and its own losses."""
    states, context = model.token_states(ids, segments=segments)
    logits = model.head.project(states)
    return (logits * drawn(*logits.shape, seed=1)).sum() + sum(context.losses.values())


def kept_by_autograd(model: nn.Module, compute: Callable[[], _T], precision: Precision = "fp32") -> tuple[_T, int]:
    """Return what a forward pass gives on the CPU, and the bytes that it keeps for the backward pass.

    Each storage counts once, and those of the parameters not at all.
    """
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage  # held, so that no place is used twice
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with autocast(torch.device("cpu"), precision), hooks:
        result = compute()
    return result, sum(storage.nbytes() for storage in kept.values())


def differentiated(model: Any, shape: tuple[int, int]) -> list[tuple[str, nn.Parameter]]:
    """Sum gradients over batches until each parameter has been reached, and give the parameters; a few batches do."""
    for seed in range(BATCHES):
        objective(model, token_ids(*shape, seed=seed)).backward()
        if all(p.grad is not None and p.grad.any() for p in model.parameters() if p.requires_grad):
            break
    return list(model.named_parameters())


def tensors_in(held: Any) -> Iterator[Tensor]:
    """Yield the tensors in dicts, lists and tuples within each other."""
    if isinstance(held, Tensor):
        yield held
    elif isinstance(held, dict | list | tuple):
        for inner in held.values() if isinstance(held, dict) else held:
            yield from tensors_in(inner)


def furthest(one: Tensor, other: Tensor) -> float:
    """The largest difference between two tensors of one shape, a number that is none counting as infinite."""
    difference = (one.detach().double() - other.detach().double()).abs()
    return float(torch.where(difference.isnan(), torch.inf, difference).max()) if difference.numel() else 0.0


def is_near(one: Tensor, other: Tensor, tolerance: float = 1e-5) -> bool:
    """Whether two tensors are as near as rounding in float32 explains, at the size that they have."""
    size = max(1.0, float(other.detach().abs().max())) if other.numel() else 1.0
    return one.shape == other.shape and furthest(one, other) <= tolerance * size


def distinct_parameters(model: nn.Module) -> int:
    """Count parameters that are really there, a shared one once."""
    return sum({p.data_ptr(): p.numel() for p in model.parameters()}.values())


def by_module(model: nn.Module) -> dict[str, int]:
    """Count parameters by the module that holds them, a shared one at the first that does."""
    counts: dict[str, int] = {}
    seen: set[int] = set()
    for path, module in model.named_modules():
        own = {p.data_ptr(): p.numel() for p in module.parameters(recurse=False) if p.data_ptr() not in seen}
        seen |= own.keys()
        if own:
            counts[path] = sum(own.values())
    return counts


@contextmanager
def embedded(model: Any) -> Iterator[list[Tensor]]:
    """Catch what a network's token table gives within the block; nothing where it has none."""
    caught: list[Tensor] = []
    table = next((module for module in model.embedder.modules() if isinstance(module, nn.Embedding)), None)
    handle = None if table is None else table.register_forward_hook(lambda module, args, out: caught.append(out))
    try:
        yield caught
    finally:
        if handle is not None:
            handle.remove()
