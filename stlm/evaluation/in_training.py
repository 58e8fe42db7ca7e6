"""The plugin that evaluates a run: at its interval and at the end."""

import logging
from typing import Any

from stlm.data.storage import write_json
from stlm.evaluation.held_out import HeldOut
from stlm.evaluation.subject import EvaluationInterruptedError, Subject
from stlm.evaluation.suite import evaluate_subject
from stlm.registry import hook
from stlm.training.state import TrainingState

_log = logging.getLogger(__name__)


class Evaluation:
    """Evaluates the model and stores the results as ``evals/step-N.json``."""

    @hook(trylast=True)
    def step_ends(self, run: TrainingState) -> None:
        """Evaluate where it is time to; an interrupted run is not kept waiting."""
        due = run.finished or run.step % run.trainer.eval_interval == 0
        if due and not run.interrupted:
            self.evaluate(run)

    def evaluate(self, run: TrainingState) -> dict[str, Any]:
        """Evaluate now; the hooks are called around it, and the results are stored."""
        subject = Subject.of(run.program, run.program.tokenizer, lambda: run.interrupted)
        held_out = HeldOut.of(run.data, run.trainer, run.loss)
        options = run.trainer.eval
        results: dict[str, Any] = {}
        run.hooks.evaluation_starts(run=run)
        try:
            measured = evaluate_subject(subject, held_out, options.mcq_benchmarks, options.num_samples)
            results = {"run": str(run.folder.root), "step": run.step, **measured}
        except EvaluationInterruptedError:
            _log.warning("the evaluation of step %d was cut short", run.step)
        if "dataset_loss" in results:
            run.held_out = {"step": run.step, **results["dataset_loss"]}
        run.hooks.evaluation_ends(run=run, results=results)
        if results:
            run.folder.evals.mkdir(parents=True, exist_ok=True)
            write_json(run.folder.evals / f"step-{run.step}.json", results)
        return results
