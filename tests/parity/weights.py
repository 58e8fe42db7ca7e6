"""Which parameter of ours stands for which of a reference, and weights that hide no mistake."""

from collections.abc import Iterator

import attrs
import torch
from torch import Tensor, nn


@attrs.frozen
class Pair:
    """One of our parameters, and those of the reference that stand for it, one after the other along its outputs."""

    ours: nn.Parameter
    theirs: tuple[nn.Parameter, ...]
    transposed: bool = False

    def copy(self) -> None:
        """Give our parameter the reference's values."""
        with torch.no_grad():
            values = self._as_ours([p.detach() for p in self.theirs])
            assert values.shape == self.ours.shape
            self.ours.copy_(values)

    def gradients(self) -> tuple[Tensor, Tensor]:
        """Return both gradients in our layout; a parameter without one has a gradient of 0."""
        mine = torch.zeros_like(self.ours) if self.ours.grad is None else self.ours.grad
        return mine, self._as_ours([torch.zeros_like(p) if p.grad is None else p.grad for p in self.theirs])

    def _as_ours(self, tensors: list[Tensor]) -> Tensor:
        return torch.cat([t.t() if self.transposed else t for t in tensors])


def pair(ours: nn.Module, *theirs: nn.Module, transposed: bool = False) -> Iterator[Pair]:
    """Pair the weights of modules, and their biases where either side has them."""
    yield Pair(ours.weight, tuple(their.weight for their in theirs), transposed)
    biases = tuple(bias for their in theirs if (bias := getattr(their, "bias", None)) is not None)
    if biases or getattr(ours, "bias", None) is not None:
        yield Pair(ours.bias, biases)


def connect(ours: nn.Module, theirs: nn.Module, pairs: list[Pair], seed: int) -> None:
    """Draw the reference's weights and copy them into ours; no parameter of either side may be left out."""
    assert {id(p.ours) for p in pairs} == {id(p) for p in ours.parameters()}
    assert {id(one) for p in pairs for one in p.theirs} == {id(p) for p in theirs.parameters()}
    draw(theirs, seed)
    for one in pairs:
        one.copy()


def draw(module: nn.Module, seed: int) -> None:
    """Draw every parameter so that none stands at a value at which a mistake would not show.

    Norm weights lie around 1 and biases around 0, both widely. Matrices keep the scale of what passes through them,
    a little more, so that logits are of size 1 to 10 and attention is far from even.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.copy_(1 + 0.4 * noise if name.endswith("weight") else 0.3 * noise)
            else:
                parameter.copy_(1.3 * noise / min(parameter.shape) ** 0.5)
