"""The plugin that evaluates a run: at its interval and at the end."""

import logging
from collections.abc import Generator
from functools import partial
from typing import Any

from stlm.evaluation.held_out import HeldOut
from stlm.evaluation.kept import keep_results
from stlm.evaluation.passages import Passages, read_once
from stlm.evaluation.read_benchmarks import Asked, by_reason, read_benchmarks
from stlm.evaluation.subject import EvaluationInterruptedError, Subject
from stlm.evaluation.suite import evaluate_subject
from stlm.nn.causality import is_causal
from stlm.registry import hook
from stlm.spec.errors import WorkError
from stlm.training.state import TrainingState
from stlm.training.unwritten import Unwritten

_log = logging.getLogger(__name__)


class Evaluation:
    """Evaluates the model, and stores the results as ``evals/step-N.json``, beside what was measured there by others.

    The rows of benchmarks, with what the model holds of each choice, are stored beside it as ``step-N.rows.jsonl``.
    The processes share the work among them. A part of which the model computes what is no number is told, and absent.
    """

    def __init__(self) -> None:
        self.files = Unwritten()
        self.benchmarks: list[Asked] | None = None
        self.passages: Passages | WorkError | None = None

    @hook(trylast=True)
    def training_starts(self, run: TrainingState) -> None:
        """Read what will be asked, and make up for an evaluation that an interruption left out.

        Warn of an objective that teaches nothing: its answers stand in the input, and the model sees them.
        """
        if not hasattr(run.loss, "prepare") and not is_causal(run.model):
            _log.warning(
                "the model sees what follows a position, and `%s` asks for just that: its loss will fall to 0 and say "
                "nothing; `loss_fn: next_token_mlm` hides what it asks for",
                run.trainer.loss_fn.selector,
            )
        owes_evaluation = run.processes.broadcast(run.owes_evaluation)
        if owes_evaluation or not run.finished:
            self.read(run)
        if owes_evaluation:
            self.evaluate(run)

    @hook(trylast=True)
    def step_ends(self, run: TrainingState) -> None:
        """Evaluate where it is time to; an interrupted run is not kept waiting.

        A hook of one process may have asked for the end just now, and this is the first to follow it: all agree on it.
        """
        run.agree()
        if run.evaluation_is_due and not run.interrupted:
            self.evaluate(run)

    @hook(wrapper=True)
    def training_ends(self, run: TrainingState) -> Generator[None, None, None]:
        """Try for the last time to store what a full disk has refused."""
        try:
            yield
        finally:
            self.files.finish(run.failed)

    def read(self, run: TrainingState) -> list[Asked]:
        """Give the benchmarks with their rows, which are read, and the passages too, when this is first called."""
        if self.benchmarks is None:
            asked = run.trainer.eval
            self.passages = read_once(asked.text_modeling_eval, run.processes)
            registry = run.program.spec.registry
            self.benchmarks = read_benchmarks(asked.mcq_benchmarks, asked.num_samples, run.processes, registry)
        return self.benchmarks

    def evaluate(self, run: TrainingState) -> dict[str, Any]:
        """Evaluate now; the hooks are called around it, and the results are stored."""
        subject = Subject.of(run.program, run.program.tokenizer, partial(_is_interrupted, run))
        held_out = HeldOut.of(run.data, run.trainer, run.loss)
        benchmarks, rows = self.read(run), list[dict[str, Any]]()
        results: dict[str, Any] = {}
        run.hooks.evaluation_starts(run=run)
        try:
            measured = evaluate_subject(subject, held_out, benchmarks, rows.append, passages=self.passages)
            self._tell_absent(run, measured.get("absent", {}))
            results = {"run": str(run.folder.root), "step": run.step, **measured}
        except EvaluationInterruptedError:
            _log.warning("the evaluation of step %d was cut short", run.step)
        if "dataset_loss" in results:
            run.held_out = {"step": run.step, **results["dataset_loss"]}
        run.hooks.evaluation_ends(run=run, results=results)
        if results and run.processes.is_main:
            self.files.put(partial(keep_results, run.evaluation_file, results, rows, by_hand=False))
        return results

    def _tell_absent(self, run: TrainingState, absent: dict[str, str]) -> None:
        """Warn of what is absent at this step, and was not known to be before."""
        known = {asked.selector: asked.why for asked in self.read(run)} | {"text_modeling": str(self.passages)}
        new = {name: why for name, why in absent.items() if known.get(name) != why}
        for why, names in by_reason(new).items():
            listed = ", ".join(f"`{name}`" for name in names)
            _log.warning("the evaluation of step %d lacks %s: %s", run.step, listed, why)


def _is_interrupted(run: TrainingState) -> bool:
    run.agree()  # all processes are at the same place of the evaluation, and leave it together
    return run.interrupted
