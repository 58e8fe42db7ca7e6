"""Initialization schemes: what is done to one module after PyTorch's own start.

A scheme touches linear layers and embeddings, and leaves every other module as its `reset_parameters` made it. Biases
become 0. The matrices at the two ends of the network, embeddings and the map to the vocabulary, start from a narrow
normal distribution in each scheme: a gain that keeps the scale of a stream would give untrained logits a spread of 1
or more, and a tied head a strong belief in the token that it has just read.
"""

import math
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from stlm.nn.linear import Linear

Mode = Literal["fan_in", "fan_out"]

# By which factor a layer must widen what it passes on, so that the activation behind it leaves the scale as it was.
# torch.nn.init.calculate_gain knows none for gelu and silu. Both approach relu for large inputs, and torch's relu gain
# √2 is what implementations of them commonly use; the exact values at unit variance are 1.53 and 1.68.
GAINS: dict[str, float] = {
    "gelu": math.sqrt(2),
    "silu": math.sqrt(2),
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2 / (1 + 0.01**2)),
    "tanh": 5 / 3,
    "sigmoid": 1.0,
    "selu": 3 / 4,
    "linear": 1.0,
}


def keep(module: nn.Module) -> None:
    """Leave PyTorch's own start."""


class Normal:
    """Draw linear layers and embeddings from N(0, std), as GPT-2 does; ``residual_std`` for what joins the stream."""

    def __init__(self, std: float, residual_std: float) -> None:
        self.std = std
        self.residual_std = residual_std

    def __call__(self, module: nn.Module) -> None:
        """Start one module."""
        if isinstance(module, nn.Linear | nn.Embedding):
            into_residual = getattr(module, "into_residual", False)
            nn.init.normal_(module.weight, std=self.residual_std if into_residual else self.std)
            _no_bias(module)


class Xavier:
    """Draw each projection from N(0, gain · √(2 / (fan_in + fan_out))) (Glorot and Bengio, 2010)."""

    def __init__(self, gain: float) -> None:
        self.gain = gain

    def __call__(self, module: nn.Module) -> None:
        """Start one module."""
        _fill(module, lambda weight: nn.init.xavier_normal_(weight, gain=self.gain))


class Kaiming:
    """Draw each projection from N(0, gain / √fan) (He et al., 2015; arXiv:1502.01852)."""

    def __init__(self, mode: Mode, nonlinearity: str) -> None:
        self.fan_axis = {"fan_in": 1, "fan_out": 0}[mode]
        self.gain = GAINS[nonlinearity]

    def __call__(self, module: nn.Module) -> None:
        """Start one module."""
        _fill(module, lambda weight: nn.init.normal_(weight, std=self.gain / math.sqrt(weight.shape[self.fan_axis])))


def _fill(module: nn.Module, draw: Callable[[Tensor], object]) -> None:
    """Let ``draw`` fill each projection of a linear layer, and start the network's ends narrow."""
    if isinstance(module, nn.Embedding) or getattr(module, "to_vocabulary", False):
        nn.init.normal_(module.weight, std=end_std(module.weight.shape[1]))  # type: ignore[arg-type,index]
    elif isinstance(module, Linear):
        for part in module.weight_parts():
            draw(part)
    elif isinstance(module, nn.Linear):
        draw(module.weight)
    _no_bias(module)


def end_std(hidden_dim: int) -> float:
    """Return the spread of embeddings and of the map to the vocabulary: GPT-2's 0.02, narrower from 625 wide on.

    With it, logits of unit-scale states have a spread of at most 0.5, which lifts the loss by at most 0.125 above that
    of a uniform guess.
    """
    return min(0.02, 0.5 / math.sqrt(hidden_dim))


def _no_bias(module: nn.Module) -> None:
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
