"""A model's weights in safetensors files, in which what modules share stands once."""

import json
from pathlib import Path

import torch
from torch import nn

from stlm.training.tensor_files import TensorFiles, save_tensors


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
    save_tensors(on_cpu, path, shared_names(shared))


def shared_names(shared: dict[str, str]) -> dict[str, str]:
    """Say in a file's metadata which further names share which tensor."""
    return {"shared": json.dumps(shared)}


def load_weights(model: nn.Module, path: Path) -> None:
    """Copy the weights in ``path``, or in its shards, into the model, whose shared tensors stay shared.

    A model that is shared out among processes takes its own part. Raises `ValueError` where names or shapes are not
    those of the model, before anything is changed.
    """
    tensors, _ = distinct_state(model)
    stored = TensorFiles(path)
    problems = [f"`{name}` is missing" for name in sorted(tensors.keys() - stored.shapes.keys())]
    problems += [f"`{name}` is not part of this model" for name in sorted(stored.shapes.keys() - tensors.keys())]
    for name in sorted(stored.shapes.keys() & tensors.keys()):
        there, here = stored.shapes[name], tuple(tensors[name].shape)
        if there != here:
            problems.append(f"`{name}` is {there}, and {here} in this model")
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(f"{path} does not fit: {'; '.join(problems[:3])}{more}")
    stored.read_into(tensors)
