"""Random state as a function of the seed and the step, so that nothing of it needs to be stored."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

from stlm.spec.seeds import derive_seed


def seed_generators(seed: int, *purpose: object) -> None:
    """Start every generator that components may draw from, torch's, Python's and NumPy's, anew for a purpose."""
    derived = derive_seed(seed, *purpose)
    random.seed(derived)
    np.random.seed(derived % 2**32)
    torch.manual_seed(derived)


@contextlib.contextmanager
def generators_kept(device: torch.device) -> Iterator[None]:
    """Leave every generator as it was, whatever is drawn inside the block."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
