"""The plugin that evaluates a run: at its interval and at the end."""

import logging
from typing import Any

from stlm.evaluation.quiet import EvaluationInterruptedError
from stlm.evaluation.suite import Subject, evaluate_subject
from stlm.registry import hook
from stlm.training.files import write_json
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
        subject = Subject(
            model=run.model,
            spec=run.spec,
            tokenizer=run.program.tokenizer,
            data=run.data,
            loss=run.loss,
            autocast_dtype=run.autocast_dtype,
            interrupted=lambda: run.interrupted,
        )
        options = run.trainer.eval
        results: dict[str, Any] = {}
        run.hooks.evaluation_starts(run=run)
        try:
            measured = evaluate_subject(subject, benchmarks=options.mcq_benchmarks, num_samples=options.num_samples)
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
