"""Whether one matrix product is faster than several: q, k and v in one, and gate and up in one.

    python tests/benchmarks/fused_projections.py

Times are medians of forward and backward passes, the two ways by turns, so that a busy machine slows both alike.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

TOKENS, HIDDEN, FFN = 2048, 384, 1024  # a model of about 10 million parameters outside its embedding
ROUNDS = 15


def step(module: Callable[[Tensor], Tensor], x: Tensor, gradient: Tensor) -> float:
    """Time one forward and backward pass, in seconds."""
    start = time.perf_counter()
    module(x).backward(gradient)
    return time.perf_counter() - start


def ratio(name: str, widths: tuple[int, ...], use: Callable[..., Tensor]) -> None:
    """Print how long the fused product takes, of what the separate ones take."""
    fused = nn.Linear(HIDDEN, sum(widths), bias=False)
    separate = nn.ModuleList(nn.Linear(HIDDEN, width, bias=False) for width in widths)
    ways = (lambda x: use(*fused(x).split(widths, dim=-1)), lambda x: use(*(one(x) for one in separate)))
    x = torch.randn(TOKENS, HIDDEN, requires_grad=True)
    gradient = torch.randn_like(ways[0](x))
    times = [[step(way, x, gradient) for way in ways] for _ in range(ROUNDS)]
    one, several = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"{name}: {1000 * one:.1f} ms fused, {1000 * several:.1f} ms separate, ratio {one / several:.2f}")


def main() -> None:
    """Print the ratio of each pair, on as many threads as torch has here."""
    torch.manual_seed(0)
    print(f"{TOKENS} tokens of {HIDDEN}, {torch.get_num_threads()} threads")
    ratio("q, k, v", (HIDDEN,) * 3, lambda q, k, v: q * k * v)
    ratio("q, k, v of grouped heads", (HIDDEN, HIDDEN // 3, HIDDEN // 3), lambda q, k, v: torch.cat((q, k, v), dim=-1))
    ratio("gate, up", (FFN, FFN), lambda gate, up: nn.functional.silu(gate) * up)


if __name__ == "__main__":
    main()
