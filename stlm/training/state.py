"""The live state of a run: what the loop changes, and what hooks are given."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stlm.compiler.processes import Processes, Share
from stlm.data.storage import read_json
from stlm.nn.modes import Precision
from stlm.spec.load import Spec
from stlm.training.folder import RunFolder
from stlm.training.group_options import Options, group_options
from stlm.training.objective import Objective


@dataclass(eq=False)
class TrainingState:
    """A run as it stands between two optimizer steps. Hooks may set ``stop`` to end it after the step.

    Each process has a state of its own. What only one of them knows (a signal, a hook's ``stop``) becomes known to all
    by `agree`, which all call at the same time: `finished` and `interrupted` are the same for all at any moment.
    """

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
    """Whether this process was asked to stop, by a hook or a signal."""
    signalled: bool = False
    """Whether it was a signal."""
    failed: bool = False
    held_out: dict[str, Any] = field(default_factory=dict)
    """The latest evaluation's numbers and its ``step``; empty before the first."""
    recent_grad_norms: deque[float] = field(default_factory=lambda: deque(maxlen=5))
    objective: nn.Module = field(init=False)
    """Network and loss together, as replicas and compilers wrap them."""
    built_options: Options = field(init=False)
    """What the optimizer's groups were told when it was built, before anything was restored or trained."""
    _agreed: tuple[bool, bool] = (False, False)

    def __post_init__(self) -> None:
        self.objective = Objective(self.model, self.loss)
        self.built_options = group_options(self.optimizer)

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
    def processes(self) -> Processes:
        """This process among those that train together."""
        return self.program.processes

    @cached_property
    def share(self) -> Share:
        """What this process takes of each step."""
        share = self.processes.share(self.trainer.batch_size, self.trainer.gradient_accumulation_steps)
        assert share is not None, "the compiler has refused what cannot be divided"
        return share

    def agree(self) -> None:
        """Let all processes know what each was asked to do; all must call this at the same time."""
        stop, signalled = self.processes.any(self.stop, self.signalled)
        self._agreed = stop, signalled

    @property
    def interrupted(self) -> bool:
        """Whether a signal ends the run."""
        return self.signalled if self.processes.count == 1 else self._agreed[1]

    @property
    def evaluation_file(self) -> Path:
        """Where the evaluation of this step is stored."""
        return self.folder.evals / f"step-{self.step}.json"

    @property
    def evaluation_is_due(self) -> bool:
        """Whether the run is to be evaluated at this step: at the interval and at its end."""
        return self.finished or self.step % self.trainer.eval_interval == 0

    @property
    def owes_evaluation(self) -> bool:
        """Whether a run that goes on was stopped before the evaluation of its last step was made.

        What somebody has measured of that step since then does not stand for it.
        """
        stored = read_json(self.evaluation_file)
        is_made = isinstance(stored, dict) and not stored.get("by_hand")
        return self.step > 0 and self.evaluation_is_due and not is_made

    @property
    def finished(self) -> bool:
        """Whether the last step is done: of the spec's number, or by a stop that was asked for."""
        stop = self.stop if self.processes.count == 1 else self._agreed[0]
        return stop or self.step >= self.trainer.max_iters
