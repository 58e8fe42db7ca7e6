"""State of any shape as tensors and JSON: nothing is pickled, so nothing that is read back can run code."""

from collections.abc import Callable
from typing import Any

import torch

TENSOR, TUPLE, PAIRS = "$tensor", "$tuple", "$pairs"


def flatten(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Turn nested dicts, lists, tuples, numbers, strings and tensors into JSON; the tensors are put into ``tensors``.

    They are the live ones, or views of them, for whoever stores them to copy.
    A tensor becomes ``{"$tensor": path}``, a tuple ``{"$tuple": [...]}``, a dict whose keys are not all strings
    ``{"$pairs": [[key, value], ...]}``. Raises `TypeError` for anything else, naming where it is.
    """
    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach()
        return {TENSOR: path}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        items = [flatten(item, f"{path}.{index}", tensors) for index, item in enumerate(value)]
        return items if isinstance(value, list) else {TUPLE: items}
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: flatten(item, f"{path}.{key}", tensors) for key, item in value.items()}
        if all(isinstance(key, bool | int | float | str) for key in value):
            return {PAIRS: [[key, flatten(item, f"{path}.{key}", tensors)] for key, item in value.items()]}
    raise TypeError(f"`{path}` is a {type(value).__name__}, which is neither a tensor nor something that JSON can say")


def unflatten(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Undo `flatten`. Raises `KeyError` where a tensor is not there."""
    if isinstance(value, list):
        return [unflatten(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {TENSOR}:
        return tensors[value[TENSOR]]
    if set(value) == {TUPLE}:
        return tuple(unflatten(item, tensors) for item in value[TUPLE])
    if set(value) == {PAIRS}:
        return {key: unflatten(item, tensors) for key, item in value[PAIRS]}
    return {key: unflatten(item, tensors) for key, item in value.items()}


def tensor_paths(value: Any) -> list[str]:
    """List the tensors that a value which `flatten` made stands for, by their paths."""
    if isinstance(value, dict):
        return [value[TENSOR]] if set(value) == {TENSOR} else tensor_paths(list(value.values()))
    return [path for item in value for path in tensor_paths(item)] if isinstance(value, list) else []


def named_optimizer_state(state: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Say the parameters in an optimizer's ``state_dict`` by name rather than by number; the rest stays.

    ``names`` holds the name of each parameter in the order of the optimizer's groups.
    """
    return _renamed(state, lambda key: names[key] if type(key) is int else key)


def numbered_optimizer_state(state: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Undo `named_optimizer_state`. Raises `KeyError` for a parameter that the optimizer does not have."""
    number = {name: i for i, name in enumerate(names)}
    unknown = [name for group in state["param_groups"] for name in group["params"] if name not in number]
    if unknown:
        raise KeyError(unknown[0])
    return _renamed(state, lambda key: number.get(key, key))


def _renamed(state: dict[str, Any], rename: Callable[[Any], Any]) -> dict[str, Any]:
    """Rename the parameters in both places that an optimizer's state has them; it may keep others in ``state``."""
    groups = [{**g, "params": [rename(key) for key in g["params"]]} for g in state["param_groups"]]
    return {**state, "state": {rename(key): s for key, s in state["state"].items()}, "param_groups": groups}
