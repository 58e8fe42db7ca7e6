"""The network of a spec: its shapes on the meta device, then its numbers on a real one."""

import torch
from torch import nn

from stlm.nn.initialize import initialize, materialize
from stlm.spec import Code, Spec, mistake


def assemble(spec: Spec) -> nn.Module:
    """Build the network on the meta device: its shapes and none of its numbers."""
    try:
        with torch.device("meta"):
            network = spec.model.model_shell.build(spec.model)
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        message = "a tensor of this network would have more elements than 64 bits can count"
        raise mistake(
            spec, "model.hidden_dim", Code.RULE, message, "see `hidden_dim`, the vocabulary and the widths"
        ) from error
    if not isinstance(network, nn.Module):
        message = f"`build` of model_shell `{spec.model.model_shell.selector}` gave {type(network).__name__}"
        raise mistake(spec, "model.model_shell_type", Code.PLUGIN, message, "it must give a torch.nn.Module")
    return network


def start(network: nn.Module, spec: Spec, device: torch.device, *, trained: bool = False) -> nn.Module:
    """Give the network memory on ``device`` and its initial weights, the same for the same seed.

    Where ``trained`` weights are to be loaded, it gets no others before.

    Raises `SpecError` where the device has too little memory, or a module cannot be initialized.
    """
    scheme = spec.model.initialization.build(spec.model)
    try:
        return initialize(materialize(network, device), scheme, spec.general.seed, trained=trained)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "alloc" not in str(error):
            raise
        need = sum(p.numel() * p.element_size() for p in network.parameters())
        message = f"the weights take {need:,} bytes, which {device} does not have"
        raise mistake(spec, "general.device", Code.DEVICE, message, "`--dry-run` says what it needs") from None
    except TypeError as error:  # a module that owns tensors and cannot fill them
        raise mistake(spec, "model.core_model_type", Code.PLUGIN, str(error)) from error
