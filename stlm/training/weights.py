"""A model's weights as one safetensors file, in which what modules share stands once."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn


def distinct_state(model: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the model's parameters and buffers under their first names, and each further name with its first."""
    first_names: dict[int, str] = {}
    tensors: dict[str, torch.Tensor] = {}
    shared: dict[str, str] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        first = first_names.setdefault(id(tensor), name)
        if first == name:
            tensors[name] = tensor.detach()
        else:
            shared[name] = first
    return tensors, shared


def save_weights(model: nn.Module, path: Path) -> None:
    """Write ``path``; its metadata says which further names share which tensor."""
    tensors, shared = distinct_state(model)
    on_cpu = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    save_tensors(on_cpu, path, {"shared": json.dumps(shared)})


def save_tensors(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file. Raises `OSError` where the disk refuses, as any other writing does."""
    try:
        save_file(tensors, path, {"format": "pt", **(metadata or {})})
    except SafetensorError as error:
        raise OSError(str(error)) from error


def load_weights(model: nn.Module, path: Path) -> None:
    """Copy the weights in ``path`` into the model, whose shared tensors stay shared.

    Raises `ValueError` where names or shapes are not those of the model, before anything is changed.
    """
    tensors, _ = distinct_state(model)
    with safe_open(path, framework="pt") as file:
        stored = set(file.keys())
        problems = [f"`{name}` is missing" for name in sorted(set(tensors) - stored)]
        problems += [f"`{name}` is not part of this model" for name in sorted(stored - set(tensors))]
        for name in sorted(stored & set(tensors)):
            there, here = tuple(file.get_slice(name).get_shape()), tuple(tensors[name].shape)
            if there != here:
                problems.append(f"`{name}` is {there}, and {here} in this model")
        if problems:
            more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise ValueError(f"{path} does not fit: {'; '.join(problems[:3])}{more}")
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(file.get_tensor(name))
