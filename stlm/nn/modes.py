"""How a network is run: the number format of its matrix products, and looking at it without leaving a trace."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import nn

Precision = Literal["fp32", "bf16"]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Compute matrix products in ``precision`` within the context; fp32 leaves everything as it is."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, DTYPES[precision])


@contextlib.contextmanager
def evaluating(model: nn.Module, device: torch.device, precision: Precision = "fp32") -> Iterator[None]:
    """Turn dropout off and compute no gradients within the context.

    Afterwards each module is in the mode that it was in, and the random state is what it was. What a model that is
    shared out among processes has gathered is let go of, for a backward pass that would do so does not come.
    """
    in_training = [module for module in model.modules() if module.training]
    shared_out = [module for module in model.modules() if hasattr(module, "reshard")]
    if in_training:
        model.eval()
    try:
        with untraced(device, precision, inference=not shared_out):
            yield
    finally:
        for module in in_training:
            module.training = True
        for module in shared_out:
            module.reshard()


@contextlib.contextmanager
def untraced(device: torch.device, precision: Precision = "fp32", *, inference: bool = True) -> Iterator[None]:
    """Compute no gradients within the context, and leave the random state as it was; modules keep their modes.

    Without ``inference``, tensors made inside may take part in training later: memory for gathered parameters does.
    """
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        torch.inference_mode() if inference else torch.no_grad(),
        autocast(device, precision),
    ):
        yield
