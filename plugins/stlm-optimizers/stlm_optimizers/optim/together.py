"""Several optimizers as one."""

from typing import Any

from torch.optim import Optimizer


class Together(Optimizer):
    """Optimizers that each have groups of their own, and one state: what is stored, loaded and scheduled is whole."""

    def __init__(self, *optimizers: Optimizer) -> None:
        self.optimizers = optimizers
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Let each have its groups and the state of all, which are made anew when a state is loaded."""
        groups = iter(self.param_groups)
        for optimizer in self.optimizers:
            optimizer.param_groups = [next(groups) for _ in optimizer.param_groups]
            optimizer.state = self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of all."""
        super().load_state_dict(state_dict)
        self._share()

    def step(self, closure: None = None) -> None:
        """Let each take its step."""
        for optimizer in self.optimizers:
            optimizer.step()
