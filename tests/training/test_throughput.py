"""The rate against which the use of a device is measured."""

import time

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from stlm.nn.modes import autocast
from stlm.training.throughput import matmul_rate

CPU = torch.device("cpu")


def test_the_rate_counts_the_operations_of_the_products_that_are_timed(monkeypatch):
    """By a clock on which each product takes a quarter of a second, and by torch's own count of operations."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) / 4)
    with FlopCounterMode(display=False) as counted:
        rate = matmul_rate(CPU, "fp32")
    products = next(ticks) // 2  # two looks at the clock each
    assert rate == 4 * counted.get_total_flops() / products
    assert products >= 3


def test_the_rate_is_one_that_the_device_reaches():
    start = time.perf_counter()
    with FlopCounterMode(display=False) as counted:
        rate = matmul_rate(CPU, "fp32")
    assert rate >= counted.get_total_flops() / (time.perf_counter() - start)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_products_are_in_the_precision_that_is_asked_for(precision, monkeypatch):
    """Within an autocast of the loop's too."""
    seen = set()
    product = torch.mm

    def recording(a, b, out):
        seen.add((a.dtype, out.dtype, torch.is_autocast_enabled("cpu")))
        return product(a, b, out=out)

    monkeypatch.setattr(torch, "mm", recording)
    with autocast(CPU, "bf16"):
        assert matmul_rate(CPU, precision) > 0
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    assert seen == {(dtype, dtype, False)}


def test_measuring_draws_nothing_from_the_runs_random_state():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    matmul_rate(CPU, "fp32")
    assert torch.equal(torch.get_rng_state(), before)
