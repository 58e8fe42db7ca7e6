"""The live state of a run: what the loop changes, and what hooks are given."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from stlm.nn.modes import Precision
from stlm.spec.load import Spec
from stlm.training.folder import RunFolder


@dataclass(eq=False)
class TrainingState:
    """A run as it stands between two optimizer steps. Hooks may set ``stop`` to end it after the step."""

    program: Any
    optimizer: torch.optim.Optimizer
    loader: Any
    loss: Any
    schedule: Callable[[int], float]
    folder: RunFolder
    data: Any
    plugins: Any
    """The plugin manager; ``hooks`` is the short way to what it calls."""

    step: int = 0
    """Optimizer steps done."""
    tokens_seen: int = 0
    """Targets that have counted in a loss so far."""
    stop: bool = False
    interrupted: bool = False
    failed: bool = False
    held_out: dict[str, Any] = field(default_factory=dict)
    """The latest evaluation's numbers and its ``step``; empty before the first."""
    recent_grad_norms: deque[float] = field(default_factory=lambda: deque(maxlen=5))

    @property
    def spec(self) -> Spec:
        """The resolved spec."""
        return self.program.spec

    @property
    def model(self) -> Any:
        """The network that is trained."""
        return self.program.model

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.program.device

    @property
    def precision(self) -> Precision:
        """The number format of matrix products."""
        return self.program.precision

    @property
    def trainer(self) -> Any:
        """The trainer's options."""
        return self.spec.trainer

    @property
    def hooks(self) -> Any:
        """Call a lifecycle hook of all plugins: ``run.hooks.step_ends(run=run, metrics=metrics)``."""
        return self.plugins.hook

    @property
    def finished(self) -> bool:
        """Whether the last step is done: of the spec's number, or by a stop that was asked for."""
        return self.stop or self.step >= self.trainer.max_iters
