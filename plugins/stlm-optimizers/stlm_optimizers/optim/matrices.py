"""Which parameters of a network are matrices between hidden states, and which of those are several in one."""

from collections.abc import Iterator

from torch import Tensor, nn

Parts = dict[Tensor, tuple[int, ...]]
"""Matrices, (out, in), with the numbers of rows of the projections that each stands for."""


def hidden_matrices(network: nn.Module) -> Parts:
    """Find the trainable matrices that map hidden states to hidden states.

    They are the two-dimensional ``weight``s of modules, without what `vocabulary_weights` yields, tied or not. Tables
    and coefficients that a module keeps under other names are no linear maps, or cannot be known to be. A layer with
    ``parts`` (`stlm.nn.Linear`) computes several projections as one.
    """
    apart = {id(weight) for weight in vocabulary_weights(network)}
    found: Parts = {}
    for module in network.modules():
        weight = module._parameters.get("weight")
        if weight is None or weight.ndim != 2 or not weight.requires_grad or id(weight) in apart:
            continue
        parts = tuple(getattr(module, "parts", ()))
        found.setdefault(weight, parts if sum(parts) == len(weight) else (len(weight),))
    return found


def vocabulary_weights(network: nn.Module) -> Iterator[Tensor]:
    """Yield the tables that are looked up in, and the head's map to the vocabulary.

    The head says which that is by ``linear_map`` or a layer ``to_vocabulary``; of one that says neither it is all.
    """
    for module in network.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) or getattr(module, "to_vocabulary", False):
            yield module.weight
    head = getattr(network, "head", None)
    if head is None:
        return
    said = getattr(head, "linear_map", lambda: None)()
    if said is not None:
        yield said[0]
    elif not any(getattr(module, "to_vocabulary", False) for module in head.modules()):
        yield from head.parameters()
