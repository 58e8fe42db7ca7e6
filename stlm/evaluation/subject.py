"""What is evaluated: a model, and how it is run."""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import attrs
import torch

from stlm.compiler.processes import Processes
from stlm.evaluation.requests import Opening
from stlm.nn.causality import is_causal, takes_branches
from stlm.nn.modes import Precision, evaluating


class EvaluationInterruptedError(Exception):
    """The run was asked to stop while it was evaluated; its numbers so far are of no use."""


@attrs.frozen
class Subject:
    """A model with its tokenizer, where and in which number format it runs, and who may interrupt its evaluation.

    ``opening`` is what stands before texts: that of stlm's own training unless given. ``processes`` share the work;
    each of them evaluates the same subject at the same time.
    """

    model: Any
    tokenizer: Any
    context_window: int
    device: torch.device
    precision: Precision = "fp32"
    seed: int = 0
    interrupted: Callable[[], bool] = lambda: False
    processes: Processes = attrs.field(factory=Processes)
    opening: Opening | None = None

    @classmethod
    def of(cls, program: Any, tokenizer: Any, interrupted: Callable[[], bool] = lambda: False) -> "Subject":
        """Take the model of a program, and what its spec says."""
        spec = program.spec
        how = {"device": program.device, "precision": program.precision, "seed": spec.general.seed}
        how |= {"interrupted": interrupted, "processes": program.processes}
        how |= {"opening": Opening.of_spec(spec, tokenizer)}
        return cls(program.model, tokenizer, spec.model.context_window, **how)

    @property
    def sees_answers(self) -> bool:
        """Whether the model, given a text, sees the tokens that it is asked for, so that they must be hidden."""
        return not is_causal(self.model)

    @property
    def takes_branches(self) -> bool:
        """Whether texts that begin alike can share their beginning."""
        return takes_branches(self.model) and "reach" in inspect.signature(self.model.token_states).parameters

    def looked_at(self) -> AbstractContextManager[None]:
        """Run the model within the context without leaving a trace (`stlm.nn.modes.evaluating`)."""
        return evaluating(self.model, self.device, self.precision)

    def check(self) -> None:
        """Raise `EvaluationInterruptedError` where the run was asked to stop."""
        if self.interrupted():
            raise EvaluationInterruptedError
