"""Seconds of head and loss where 15 % of the rows are asked: all rows through the head, and those alone.

    python tests/benchmarks/masked_rows.py

4,096 rows of 384, a vocabulary of 50,257, forward and backward, fp32 on the CPU; the best of three each, in turns.
"""

import time
from types import SimpleNamespace

import torch
from torch import Tensor

from stlm.data.serving.batch import IGNORE, Batch
from stlm.nn.losses import linear_cross_entropy
from stlm.registry import make_component

ROWS, WIDTH, VOCAB, ASKED = 4096, 384, 50_257, 0.15


def main() -> None:
    """Print both, and the largest difference of their gradients."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(1, ROWS, WIDTH, generator=generator, requires_grad=True)
    weight = torch.nn.Parameter(torch.randn(VOCAB, WIDTH, generator=generator) * 0.02)
    targets = torch.randint(VOCAB, (1, ROWS), generator=generator)
    targets[torch.rand(1, ROWS, generator=generator) >= ASKED] = IGNORE
    head, batch = SimpleNamespace(weight=weight, bias=None), Batch(targets, targets)
    loss = make_component("loss", "next_token_mlm").build(None)

    def all_rows() -> Tensor:
        return linear_cross_entropy(states.flatten(0, 1), targets.flatten(), weight)[0]

    def asked_rows() -> Tensor:
        total: Tensor = loss(states, head, batch)[0]
        return total

    best, found = dict.fromkeys((all_rows, asked_rows), float("inf")), {}
    for _ in range(3):
        for way in best:
            start = time.perf_counter()
            total = way()
            gradients = torch.autograd.grad(total, (states, weight))
            best[way] = min(best[way], time.perf_counter() - start)
            found[way] = (total.detach(), *gradients)
    for way, seconds in best.items():
        print(f"{way.__name__:12} {seconds:.3f} s")
    print(f"ratio        {best[all_rows] / best[asked_rows]:.2f}")
    off = [float((a - b).abs().max() / a.abs().max()) for a, b in zip(found[all_rows], found[asked_rows], strict=True)]
    print("relative difference of loss, states' and weight's gradients: " + ", ".join(f"{one:.1e}" for one in off))


if __name__ == "__main__":
    main()
