"""How fast this device can multiply, against which the use that a model makes of it is measured."""

import time
from functools import cache

import torch

from stlm.nn.modes import DTYPES, Precision
from stlm.nn.onednn import product

_SIZES = {"cpu": (1024, 1), "cuda": (8192, 4)}
"""Rows of the matrices, and how many products are timed together: a fast GPU would else wait for Python."""


def matmul_rate(device: torch.device, precision: Precision) -> float:
    """Measure the rate of large matrix products, in floating-point operations a second; takes about half a second.

    It stands in for the device's peak, which no library tells: a utilization above 1 is possible, if rare. The numbers
    are random, for a GPU computes with ones faster than it ever will with weights. The first product, for which
    libraries are loaded, is not measured; of the others the fastest counts.
    """
    size, together = _SIZES.get(device.type, (4096, 1))
    drawn = torch.Generator(device).manual_seed(0)  # so the random state of the run stays what it is
    a = torch.randn(size, size, generator=drawn, device=device).to(DTYPES[precision])

    def seconds(products: int) -> float:
        before = time.perf_counter()
        for _ in range(products):
            result = product(a, a)
        result[0, 0].item()  # waits for a device that computes on its own time
        return time.perf_counter() - before

    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        seconds(1)
        taken = [seconds(together), seconds(together)]
        while len(taken) < 10 and sum(taken) < 0.3:
            taken.append(seconds(together))
    return together * 2 * size**3 / min(taken)


def known_rate(device: torch.device, precision: Precision) -> float:
    """Give what `matmul_rate` measures, once a process for the same device, precision and number of threads."""
    return _known_rate(device, precision, torch.get_num_threads())


@cache
def _known_rate(device: torch.device, precision: Precision, _threads: int) -> float:
    return matmul_rate(device, precision)
