"""How fast this device can multiply, against which the use that a model makes of it is measured."""

import time

import torch

from stlm.nn.modes import DTYPES, Precision


def matmul_rate(device: torch.device, precision: Precision) -> float:
    """Measure the rate of large matrix products, in floating-point operations a second; takes under half a second.

    It stands in for the device's peak, which no library tells: a utilization above 1 is possible, if rare.
    """
    size = 1024 if device.type == "cpu" else 4096
    a = torch.ones(size, size, device=device, dtype=DTYPES[precision])
    best, start = 0.0, time.perf_counter()
    for _ in range(10):
        before = time.perf_counter()
        product = a @ a
        product[0, 0].item()  # waits for a device that computes on its own time
        best = max(best, 2 * size**3 / (time.perf_counter() - before))
        if time.perf_counter() - start > 0.2:
            break
    return best
