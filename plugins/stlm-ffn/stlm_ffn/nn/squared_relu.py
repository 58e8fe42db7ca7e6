"""The square of a ReLU, element by element."""

import torch.nn.functional as F
from torch import Tensor, nn


class SquaredReLU(nn.Module):
    """Compute max(x, 0)². Shape: (...) -> (...), dtype kept. Source: Primer, So et al., 2021 (arXiv:2109.08668).

    A product and no power: autocast computes powers in float32, which would widen what is kept for the backward pass.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Square what is positive."""
        positive = F.relu(x)
        return positive * positive
