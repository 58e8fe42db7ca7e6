"""Looking at a model without leaving a trace."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import nn

from stlm.training.precision import autocast


class EvaluationInterruptedError(Exception):
    """The run was asked to stop while it was evaluated; its numbers so far are of no use."""


def check(interrupted: Callable[[], bool]) -> None:
    """Raise `EvaluationInterruptedError` where the run was asked to stop."""
    if interrupted():
        raise EvaluationInterruptedError


@contextlib.contextmanager
def evaluating(model: nn.Module, autocast_dtype: torch.dtype | None = None) -> Iterator[torch.device]:
    """Give the model's device, with dropout off and no gradients within the context.

    Afterwards each module is in the mode that it was in, and the random state is what it was.
    """
    in_training = [module for module in model.modules() if module.training]
    device = next(model.parameters()).device
    if in_training:
        model.eval()
    try:
        with (
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            torch.inference_mode(),
            autocast(device, autocast_dtype),
        ):
            yield device
    finally:
        for module in in_training:
            module.training = True
