"""What a step minimizes, as one module: what replicas and compilers are put around."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from stlm.data.serving.batch import Batch
from stlm.training.losses import require_counted


class Objective(nn.Module):
    """The network and its loss. Called with a batch, it gives the sum of the losses and those that parts add."""

    def __init__(self, network: nn.Module, loss: Any) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self._compiled: Callable[..., Any] | None = None
        self._is_checked = False

    def compile_network(self) -> None:
        """Use a compiled network from now on; where it is used elsewhere, it stays as it is."""
        self._compiled = torch.compile(self.network.token_states)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss summed over the targets of ``batch``, a float32 scalar, and the added losses by name.

        Added losses are means over the tokens of the batch.
        """
        token_states = self._compiled or self.network.token_states
        states, context = token_states(batch.token_ids, positions=batch.positions, segments=batch.segments)
        loss_sum, count = self.loss(states, self.network.head, batch)
        if not self._is_checked:  # once, for a device would be waited for
            require_counted(self.loss, count, batch)
            self._is_checked = True
        return loss_sum, context.losses
