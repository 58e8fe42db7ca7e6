"""All evaluations of a model, as one dictionary: the one that ``stlm eval --json`` prints."""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import attrs
import torch

from stlm.data.unigram import unigram_baseline
from stlm.evaluation.held_out import held_out_loss
from stlm.evaluation.multiple_choice import score_items
from stlm.evaluation.text_modeling import text_modeling
from stlm.spec.errors import WorkError
from stlm.spec.load import Spec

cached_baseline = lru_cache(maxsize=8)(unigram_baseline)  # it goes through all of the training tokens
Sample = Callable[[dict[str, Any]], None]


@attrs.frozen
class Subject:
    """What is evaluated: a model with its tokenizer, and, where its spec has a trainer, held-out data and the loss."""

    model: Any
    spec: Spec
    tokenizer: Any
    data: Any = None
    loss: Any = None
    autocast_dtype: torch.dtype | None = None
    interrupted: Callable[[], bool] = lambda: False

    def how(self) -> dict[str, Any]:
        """Return what all evaluations are told alike."""
        return {
            "context_window": self.spec.model.context_window,
            "autocast_dtype": self.autocast_dtype,
            "interrupted": self.interrupted,
        }


def evaluate_subject(
    subject: Subject, *, benchmarks: Sequence[Any], num_samples: int, sample: Sample | None = None
) -> dict[str, Any]:
    """Run every evaluation that the spec asks for; a part that cannot run is absent.

    ``benchmarks`` are components; ``num_samples`` rows of each are scored, 0 meaning all. ``sample`` is given a record
    for each row.
    """
    results: dict[str, Any] = {}
    if subject.data is not None:
        results.update(evaluate_held_out(subject))
    if benchmarks:
        start, rows, scores = time.perf_counter(), 0, {}
        for benchmark in benchmarks:
            scores[benchmark.selector] = evaluate_benchmark(subject, benchmark, num_samples, sample)
            rows += scores[benchmark.selector]["num_samples"]
        results["benchmarks"] = scores
        results["rows_per_second"] = round(rows / (time.perf_counter() - start), 2)
    return results


def evaluate_benchmark(subject: Subject, benchmark: Any, num_samples: int, sample: Sample | None) -> dict[str, Any]:
    """Score one benchmark, on rows that depend on the seed alone."""
    items = benchmark.items(num_samples, subject.spec.general.seed)
    if not items:
        raise WorkError(f"benchmark `{benchmark.selector}` has no rows")
    scores, log_likelihoods = score_items(subject.model, subject.tokenizer, items, **subject.how())
    for item, values in zip(items, log_likelihoods, strict=True) if sample is not None else ():
        sample({"benchmark": benchmark.selector, "row": item.row, "gold": item.gold, "log_likelihoods": values})
    return scores


def evaluate_held_out(subject: Subject) -> dict[str, Any]:
    """Return ``dataset_loss`` and ``text_modeling`` of the held-out data, each absent where it is empty or not asked.

    ``dataset_loss`` also holds the loss of the unigram model (``unigram_loss``), which a model must beat to have
    learned anything but how often each token occurs.
    """
    trainer, data = subject.spec.trainer, subject.data
    how = {
        **subject.how(),
        "batch_size": trainer.batch_size,
        "max_batches": trainer.eval.dataset_loss_eval_iters,
    }
    results: dict[str, Any] = {}
    loss = held_out_loss(
        subject.model, subject.loss, data.val, subject.tokenizer, seed=subject.spec.general.seed, **how
    )
    if loss:
        baseline = cached_baseline(data.train, data.val, subject.tokenizer.vocab_size, data.split_bytes["val"])
        if baseline is not None:
            loss["unigram_loss"] = baseline.nats_per_token
        results["dataset_loss"] = loss
    if trainer.eval.text_modeling_eval:
        text = text_modeling(subject.model, data.val, subject.tokenizer, **how)
        if text:
            results["text_modeling"] = text
    return results
