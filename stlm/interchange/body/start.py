"""How a body's tensors are filled: copied from a model that was loaded, and started where nothing was loaded."""

from typing import Any

import torch
from torch import Tensor, nn

from stlm.nn.initialize import Scheme


def copy_tensors(source: Any, target: nn.Module, *, parameters: bool = True) -> None:
    """Copy what ``target`` holds from the parts of ``source`` that bear the same names."""
    found = {**dict(source.named_parameters()), **dict(source.named_buffers())}
    wanted = dict(target.named_buffers())
    if parameters:
        wanted.update(target.named_parameters())
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(found[name])
    for path, module in target.named_modules():  # and tensors that are neither parameters nor buffers
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                setattr(module, name, getattr(source.get_submodule(path), name))


def start_fresh(body: nn.Module, fresh: set[str], scheme: Scheme) -> None:
    """Let ``scheme`` start the parameters named ``fresh``; others of the same modules stay as they are."""
    for path, module in body.named_modules():
        own = dict(module.named_parameters(recurse=False))
        new = {name for name in own if (f"{path}.{name}" if path else name) in fresh}
        if not new:
            continue
        kept = {name: tensor.detach().clone() for name, tensor in own.items() if name not in new}
        scheme(as_linear(module))
        for name, tensor in kept.items():
            own[name].copy_(tensor)


def as_linear(module: nn.Module) -> nn.Module:
    """Show GPT-2's `Conv1D`, which holds its matrix the other way round, as the linear layer that it is."""
    from transformers.pytorch_utils import Conv1D

    if not isinstance(module, Conv1D):
        return module
    linear = nn.Linear(*module.weight.shape, device="meta")
    linear.weight = nn.Parameter(module.weight.detach().t(), requires_grad=False)
    linear.bias = nn.Parameter(module.bias.detach(), requires_grad=False)
    return linear
