"""Random streams: each purpose has its own, derived from one seed, so that none depends on what was drawn before."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from stlm.spec.seeds import derive_seed


@contextmanager
def random_stream(seed: int, *purpose: object) -> Iterator[None]:
    """Draw torch's random numbers inside the block from the purpose's own stream, and leave the others untouched.

    Covers the CPU's generator and, once CUDA or MPS is in use, those of its devices.
    """
    derived = derive_seed(seed, *purpose)
    before = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    torch.default_generator.manual_seed(derived)
    if cuda:
        torch.cuda.manual_seed_all(derived)
    if mps is not None:
        torch.mps.manual_seed(derived)
    try:
        yield
    finally:
        torch.set_rng_state(before)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)
