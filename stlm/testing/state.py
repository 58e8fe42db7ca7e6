"""The state of the process that a component has no business to change."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from stlm.testing.checking import hold
from stlm.training.randomness import seed_generators


def _state() -> dict[str, Any]:
    numpy = np.random.get_state()
    return {
        "torch's random state": torch.get_rng_state().tolist(),
        "Python's random state": random.getstate(),
        "NumPy's random state": (numpy[1].tolist(), *numpy[2:]),  # type: ignore[union-attr]
        "torch's default dtype": torch.get_default_dtype(),
        "torch's default device": torch.get_default_device(),
        "the number of torch's threads": torch.get_num_threads(),
        "whether torch records gradients": torch.is_grad_enabled(),
        "whether torch casts automatically": torch.is_autocast_enabled("cpu"),
        "torch's demand for deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "torch's precision of matrix products": torch.get_float32_matmul_precision(),
        "the environment": dict(os.environ),
        "the working directory": os.getcwd(),
    }


@contextmanager
def unchanged(act: str) -> Iterator[None]:
    """Hold that the block changes nothing of it, and put it back where it does."""
    found = _state()
    seed_generators(0, "a state that nobody would set")
    before = _state()
    try:
        yield
        after = _state()
    finally:
        _restore(found)
    for what, was in before.items():
        hold(after[what] == was, f"{act} changes {what}{_from_to(was, after[what])}")


def _from_to(was: Any, now: Any) -> str:
    plain = isinstance(was, bool | int | str | torch.dtype | torch.device)
    return f", from {was} to {now}" if plain else ""


def _restore(before: dict[str, Any]) -> None:
    torch.set_rng_state(torch.tensor(before["torch's random state"], dtype=torch.uint8))
    random.setstate(before["Python's random state"])
    keys, *rest = before["NumPy's random state"]
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), *rest))
    torch.set_default_dtype(before["torch's default dtype"])
    torch.set_num_threads(before["the number of torch's threads"])
    torch.set_grad_enabled(before["whether torch records gradients"])
    torch.use_deterministic_algorithms(before["torch's demand for deterministic algorithms"])
    torch.set_float32_matmul_precision(before["torch's precision of matrix products"])
    if torch.get_default_device() != before["torch's default device"]:
        torch.set_default_device(before["torch's default device"])
    for name in set(os.environ) - set(before["the environment"]):
        del os.environ[name]
    os.environ.update(before["the environment"])
    os.chdir(before["the working directory"])
