"""Gradients that are the same for two optimizers, one of them published."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture
def compared() -> Callable[..., Iterator[tuple[list[Tensor], list[Tensor]]]]:
    """Let two optimizers take steps with the same gradients, from the same weights; yield both weights after each."""

    def steps(shapes, make_ours, make_theirs, count=12, rates=None, length=1.0):
        random = torch.Generator().manual_seed(0)
        start = [torch.randn(shape, generator=random) for shape in shapes]
        ours, theirs = ([nn.Parameter(one.clone()) for one in start] for _ in range(2))
        optimizers = make_ours(ours), make_theirs(theirs)
        for step in range(count):
            grads = [length * torch.randn(shape, generator=random) for shape in shapes]
            for parameters, optimizer in zip((ours, theirs), optimizers, strict=True):
                for group in optimizer.param_groups if rates else ():
                    group["lr"] = rates[step]
                for p, grad in zip(parameters, grads, strict=True):
                    p.grad = grad.clone()
                optimizer.step()
            yield [p.detach() for p in ours], [p.detach() for p in theirs]

    return steps


@pytest.fixture
def network() -> nn.Module:
    """A network with every sort of tensor: tables, fused and plain matrices, convolutions, bare ones, vectors."""
    from stlm.nn import Linear

    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = Linear(8, 16, bias=True, parts=(8, 4, 4))
            self.out = nn.Linear(8, 8, bias=False)
            self.conv = nn.Conv1d(8, 8, 3, groups=8)
            self.coefficients = nn.Parameter(torch.ones(8, 4))
            self.frozen = nn.Linear(8, 8).requires_grad_(False)
            self.norm = nn.LayerNorm(8)

    class Head(nn.Module):
        def __init__(self, tied: nn.Parameter) -> None:
            super().__init__()
            self.inner = Linear(8, 8, bias=False)
            self.linear = Linear(8, 20, bias=False, to_vocabulary=True)
            self.linear.weight = tied

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedder, self.positions = nn.Embedding(20, 8), nn.Embedding(6, 8)
            self.core, self.again = Mixer(), Mixer()
            self.again.out.weight = self.core.out.weight
            self.head = Head(self.embedder.weight)

    torch.manual_seed(0)
    return Network()
