"""Whole tensors on the CPU, for as long as a start is drawn, in the place of those that are sharded or elsewhere.

So a scheme is a plain function of a plain module, and what it draws depends on no device and no number of processes:
each process draws the whole of a tensor and keeps its own part, and nothing is sent.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def whole_on_cpu(module: nn.Module, held: Mapping[str, Tensor], finished: Collection[int]) -> Iterator[None]:
    """Let ``module`` have whole tensors on the CPU inside the block; what they hold then goes to where it belongs.

    ``held`` are its tensors by path. One that is whole and on the CPU stays where it is; one whose id is in
    ``finished`` is the same afterwards, whatever is done to the other that stands in its place.
    """
    away = {path: tensor for path, tensor in held.items() if id(tensor) in finished or not _is_whole_on_cpu(tensor)}
    copies: dict[int, Tensor] = {}
    for path, tensor in away.items():
        if id(tensor) not in copies:
            copies[id(tensor)] = _copy(tensor)
        _set(module, path, copies[id(tensor)])
    try:
        yield
        for path, tensor in away.items():
            if id(tensor) not in finished:
                part_held_here(tensor).copy_(_get(module, path).detach()[_place(tensor)])
    finally:
        for path, tensor in away.items():
            _set(module, path, tensor)


def fill_part(tensor: Tensor, whole: Tensor) -> None:
    """Copy the whole of a tensor into it; one that is sharded takes the part that this process holds."""
    part_held_here(tensor).copy_(whole[_place(tensor)])


def held_part(tensor: Tensor) -> tuple[Tensor, tuple[slice, ...]]:
    """Return the part of a tensor that this process holds, and where in the whole it stands."""
    return part_held_here(tensor), _place(tensor)


def _is_whole_on_cpu(tensor: Tensor) -> bool:
    return _mesh(tensor) is None and tensor.device.type == "cpu"


def _copy(tensor: Tensor) -> Tensor:
    """Make the whole of a tensor on the CPU; of one that is sharded, the part that is here is filled."""
    whole = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
    whole[_place(tensor)] = part_held_here(tensor).to("cpu")
    return nn.Parameter(whole, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else whole


def _mesh(tensor: Tensor) -> Any:
    """Return what a `DTensor` is spread over, else None; asked so because importing `DTensor` takes half a second."""
    return getattr(tensor, "device_mesh", None)


def part_held_here(tensor: Any) -> Tensor:
    """Return the part of a tensor that this process holds: all of it, unless it is sharded."""
    part: Tensor = tensor.detach() if _mesh(tensor) is None else tensor.detach().to_local()
    return part


def _place(tensor: Any) -> tuple[slice, ...]:
    """Say which part of the whole this process holds.

    Along each axis of the mesh a shard is what `torch.chunk` would give, so that the last may be smaller or empty.
    """
    bounds = [(0, length) for length in tensor.shape]
    mesh = _mesh(tensor)
    if mesh is not None:
        for size, index, placement in zip(mesh.shape, mesh.get_coordinate(), tensor.placements, strict=True):
            if placement.is_shard():
                start, stop = bounds[placement.dim]
                step = -(-(stop - start) // size)
                bounds[placement.dim] = min(start + index * step, stop), min(start + (index + 1) * step, stop)
            elif not placement.is_replicate():
                raise ValueError(f"a tensor placed as {placement} cannot be started; it must be sharded or replicated")
    return tuple(slice(start, stop) for start, stop in bounds)


def _get(module: nn.Module, path: str) -> Tensor:
    owner, _, name = path.rpartition(".")
    found: Tensor = getattr(module.get_submodule(owner), name)
    return found


def _set(module: nn.Module, path: str, tensor: Tensor) -> None:
    """Put a tensor into the table that a module keeps under this path, whatever the class of either."""
    owner, _, name = path.rpartition(".")
    part = module.get_submodule(owner)
    table: dict[str, Any] = part._parameters if name in part._parameters else part._buffers
    table[name] = tensor
