"""From a network on the meta device to one with numbers in it, the same ones for the same seed."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from stlm.nn.random import random_stream
from stlm.nn.sharded import whole_on_cpu

Scheme = Callable[[nn.Module], None]


def materialize(network: nn.Module, device: torch.device | str) -> nn.Module:
    """Give the network memory on ``device``, in place: meta tensors become empty ones, the others are moved.

    What was one parameter in several modules stays one, and what was sharded stays sharded.
    """
    device = torch.device(device)
    made: dict[int, Tensor] = {}

    def real(tensor: Tensor) -> Tensor:
        if id(tensor) not in made:
            data = torch.empty_like(tensor, device=device) if tensor.is_meta else tensor.detach().to(device)
            made[id(tensor)] = nn.Parameter(data, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else data
        return made[id(tensor)]

    originals = []  # kept alive until the end, so that no id is used twice
    for module in network.modules():
        for table in (module._parameters, module._buffers):
            for name, tensor in table.items():
                if tensor is not None and tensor.device != device:
                    originals.append(tensor)
                    table[name] = real(tensor)  # type: ignore[assignment]
    return network


def initialize(network: nn.Module, scheme: Scheme, seed: int, *, trained: bool = False) -> nn.Module:
    """Fill every parameter and buffer: PyTorch's own start by ``reset_parameters``, then what ``scheme`` does to it.

    Each module draws from a stream of its own, named by its path, so that its start depends on nothing else in the
    network. All is drawn on the CPU, one module at a time, and of sharded tensors the whole: a seed means the same
    weights on every device and for any number of processes. A shared tensor gets the start of the first module that
    holds it, and the head's where the head holds it. A module with a method ``initialize(scheme)`` fills its whole
    subtree by that, inside its own stream; so one that has loaded trained weights may keep them. When all are started,
    a module with a method ``complete(network)`` is given the whole network once: to hand other parts what it loaded.

    ``trained``: the caller is about to load weights, so nothing that a checkpoint holds is drawn or read. Modules with
    buffers that are not stored are started as usual; one that initializes itself is asked for these alone, by its
    method ``fill_buffers()`` where it has one.
    """
    if trained:
        _fill_what_is_not_stored(network, seed)
        return network
    filled: set[int] = set()
    for path, module in _head_first(network):
        held = _tensors(module)
        if all(id(tensor) in filled for tensor in held.values()):
            continue
        with random_stream(seed, "initialization", path), torch.no_grad(), whole_on_cpu(module, held, filled):
            _start(module, scheme, path)
        filled.update(id(tensor) for tensor in held.values())
    for module in network.modules():
        complete = getattr(module, "complete", None)
        if complete is not None:
            complete(network)
    return network


def _fill_what_is_not_stored(network: nn.Module, seed: int) -> None:
    for path, module in _head_first(network):
        fill = getattr(module, "fill_buffers", None)
        with random_stream(seed, "initialization", path), torch.no_grad():
            if fill is not None:
                fill()
            elif hasattr(module, "initialize") or module._non_persistent_buffers_set:
                with whole_on_cpu(module, _tensors(module), ()):
                    _start(module, lambda _: None, path)


def _start(module: nn.Module, scheme: Scheme, path: str) -> None:
    own_way = getattr(module, "initialize", None)
    if own_way is not None:
        own_way(scheme)
        return
    reset = getattr(module, "reset_parameters", None)
    if reset is None:
        names = ", ".join(f"`{name}`" for name in _tensors(module))
        raise TypeError(
            f"{type(module).__module__}.{type(module).__qualname__} (at `{path}`) holds {names} and has no method "
            "`reset_parameters` that fills them; a module that owns parameters or buffers must have one"
        )
    reset()
    scheme(module)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return what a module itself holds, or all of its subtree where it initializes that by itself."""
    recurse = hasattr(module, "initialize")
    parameters = module.named_parameters(recurse=recurse, remove_duplicate=False)
    return {**dict(parameters), **dict(module.named_buffers(recurse=recurse, remove_duplicate=False))}


def _head_first(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Walk the modules, those of ``network.head`` before the others, without those inside self-initializing ones."""

    def walk(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
        yield path, module
        if not hasattr(module, "initialize"):
            for name, child in module.named_children():
                yield from walk(child, f"{path}.{name}" if path else name)

    head = getattr(network, "head", None)
    if isinstance(head, nn.Module):
        yield from walk(head, "head")
    yield from walk(network, "")
