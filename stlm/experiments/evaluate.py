"""From a run to what it is worth."""

from collections.abc import Callable, Sequence
from typing import Any

from stlm.data.preparation.mixture import Prepared
from stlm.data.preparation.prepare import prepare
from stlm.data.telling import PreparationProgress, log_shown
from stlm.evaluation.held_out import HeldOut
from stlm.evaluation.subject import Subject
from stlm.evaluation.suite import evaluate_subject
from stlm.experiments.resume import own_tokens
from stlm.experiments.run import Run
from stlm.registry import make_component

_NUM_SAMPLES = 1000
"""Rows of a benchmark for a run without a trainer; with one, its ``eval.num_samples`` says."""


def evaluate(
    run: Run,
    benchmarks: Sequence[str] | None = None,
    num_samples: int | None = None,
    sample: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Evaluate a run: the named ``benchmarks`` (its spec's, unless given), text modelling and the held-out loss.

    ``num_samples`` rows of each benchmark are scored, the spec's number unless given; 0 means all. ``sample`` is given
    a record for each row. Returns what ``stlm eval --json`` prints; a part that did not run is absent.
    """
    trainer = run.spec.trainer
    if benchmarks is not None:
        chosen = tuple(make_component("benchmark", name) for name in benchmarks)
    else:
        chosen = () if trainer is None else trainer.eval.mcq_benchmarks
    if num_samples is None:
        num_samples = _NUM_SAMPLES if trainer is None else trainer.eval.num_samples
    held_out = None
    if trainer is not None:
        held_out = HeldOut.of(prepared_data(run), trainer, trainer.loss_fn.build(trainer))
    measured = evaluate_subject(Subject.of(run.program, run.tokenizer), held_out, chosen, num_samples, sample)
    return {"run": str(run.folder), "step": run.step, **measured}


def prepared_data(run: Run) -> Prepared:
    """Open the tokens that a run was trained on, where they still are what its lock says; else prepare them again."""
    prepared = own_tokens(run.places)
    if prepared is not None:
        return prepared
    with log_shown(), PreparationProgress() as progress:
        return prepare(run.spec, run.tokenizer, progress)
