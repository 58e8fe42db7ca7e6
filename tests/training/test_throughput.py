"""The rate against which the use of a device is measured."""

import time

import pytest
import torch

from stlm.nn.modes import autocast
from stlm.training import throughput
from stlm.training.throughput import known_rate, matmul_rate

CPU = torch.device("cpu")


@pytest.fixture
def products(monkeypatch):
    """The products that are computed: each with its two factors, and whether autocast is on."""
    seen, multiply = [], throughput.product

    def recording(a, b):
        seen.append((a, b, torch.is_autocast_enabled("cpu")))
        return multiply(a, b)

    monkeypatch.setattr(throughput, "product", recording)
    return seen


def operations(products):
    return sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in products)


def test_the_rate_counts_the_operations_of_the_products_that_are_timed(monkeypatch, products):
    """By a clock on which each product takes a quarter of a second."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) / 4)
    rate = matmul_rate(CPU, "fp32")
    assert rate == 4 * operations(products) / len(products)
    assert len(products) == next(ticks) // 2  # two looks at the clock each
    assert len(products) >= 3


def test_the_rate_is_one_that_the_device_reaches(products):
    start = time.perf_counter()
    rate = matmul_rate(CPU, "fp32")
    assert rate >= operations(products) / (time.perf_counter() - start)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_products_are_in_the_precision_that_is_asked_for(precision, products):
    """Within an autocast of the loop's too."""
    with autocast(CPU, "bf16"):
        assert matmul_rate(CPU, precision) > 0
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    assert {(a.dtype, b.dtype, casts) for a, b, casts in products} == {(dtype, dtype, False)}


def test_measuring_draws_nothing_from_the_runs_random_state():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    matmul_rate(CPU, "fp32")
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_known_is_not_measured_again(monkeypatch):
    measured = []
    monkeypatch.setattr(throughput, "matmul_rate", lambda *asked: measured.append(asked) or 1e9)
    throughput._known_rate.cache_clear()
    try:
        assert [known_rate(CPU, precision) for precision in ("fp32", "fp32", "bf16", "fp32")] == [1e9] * 4
        assert measured == [(CPU, "fp32"), (CPU, "bf16")]
    finally:
        throughput._known_rate.cache_clear()
