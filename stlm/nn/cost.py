"""What a network costs: parameters, floating-point operations, and what is kept for the backward pass.

A module may say its own costs by methods with the names of the five functions `flops_per_token(seq_len)`,
`saved_bytes_per_token(seq_len, width)`, `shared_tables(seq_len, width)`, `encoded_elements()` and `active_elements()`.
Where it does not, the rules for plain torch modules hold, and its children are summed. Everything is computed from
shapes, on the meta device too.
"""

from collections.abc import Callable, Hashable, Iterator

from torch import nn


def active_parameters(module: nn.Module) -> int:
    """Return the number of parameters that take part in one token's forward pass, shared ones counted once."""
    used: dict[nn.Parameter, int] = {}
    for parameter, elements in active_elements(module):
        used[parameter] = max(elements, used.get(parameter, 0))
    return sum(used.values())


def active_elements(module: nn.Module) -> Iterator[tuple[nn.Parameter, int]]:
    """Yield each parameter that one token uses, with the number of its elements that take part.

    Where it depends on the token which of several equal parameters take part, any of them stand for these; what several
    modules share is yielded by each.
    """
    own = getattr(module, "active_elements", None)
    if own is not None:
        yield from own()
        return
    for parameter in module.parameters(recurse=False):
        yield parameter, parameter.numel()
    for child in module.children():
        yield from active_elements(child)


def flops_per_token(module: nn.Module, seq_len: int) -> float:
    """Return the floating-point operations of one token's forward pass in a sequence of ``seq_len``.

    Two for each weight of a matrix product that the token goes through, and what attention adds. A lookup costs
    nothing, and norms, activations and sums are left out, as is usual (Kaplan et al., 2020; arXiv:2001.08361).
    """
    own = getattr(module, "flops_per_token", None)
    if own is not None:
        return own(seq_len)
    if isinstance(module, nn.Embedding):
        return 0
    matrices = sum(p.numel() for p in module.parameters(recurse=False) if p.dim() >= 2)
    return 2 * matrices + sum_of_children(flops_per_token, module, seq_len)


def saved_bytes_per_token(module: nn.Module, seq_len: int, width: int) -> float:
    """Return how many bytes of activations a token leaves behind for the backward pass, parameters not counted.

    Each operation counts those of its inputs that its gradient needs, and what it makes inside; whoever calls two
    operations on one input takes the second count off again.

    ``width`` is the bytes of an element in the working precision: 4 in fp32, 2 under bf16 autocast. Under autocast,
    matrix products and what is made of their results have this width. The residual stream, and with it what norms and
    dropouts keep, stays at 4 bytes; and a linear layer keeps a narrow copy of its own, also where two read one input.
    """
    own = getattr(module, "saved_bytes_per_token", None)
    if own is not None:
        return own(seq_len, width)
    kept = width * module.in_features if isinstance(module, nn.Linear) else 0
    return kept + sum_of_children(saved_bytes_per_token, module, seq_len, width)


def shared_tables(module: nn.Module, seq_len: int, width: int) -> dict[Hashable, int]:
    """Return the bytes of each table that autograd keeps once for all layers that share it, by what it is told by.

    It is that of a row; where documents are kept apart, a batch has one for each of its rows, else one for all.
    """
    own = getattr(module, "shared_tables", None)
    found: dict[Hashable, int] = dict(own(seq_len, width)) if own is not None else {}
    for child in module.children():
        found.update(shared_tables(child, seq_len, width))
    return found


def cast_elements(module: nn.Module) -> int:
    """Return how many weights autocast copies into the working precision, where that is not fp32.

    They are those of matrix products, a shared one counted once; autograd keeps the copies until the backward pass.
    """
    parts = (part for part in module.modules() if not isinstance(part, nn.Embedding))
    weights = {weight for part in parts for weight in part.parameters(recurse=False) if weight.dim() >= 2}
    return sum(weight.numel() for weight in weights if weight.element_size() > 2)


def encoded_elements(module: nn.Module) -> int:
    """Return how many elements of q and k, in the working precision, a positional encoding leaves behind more."""
    own = getattr(module, "encoded_elements", None)
    return own() if own is not None else sum(encoded_elements(child) for child in module.children())


def sum_of_children(count: Callable[..., float], module: nn.Module, *arguments: int) -> float:
    """Sum one of the functions above, given the same ``arguments``, over the direct children of a module."""
    return sum(count(child, *arguments) for child in module.children())
