"""The plugin that writes metrics.jsonl, a flushed line for each log step and each evaluation."""

import json
from typing import Any, TextIO

from stlm.data.storage import reported_as, write_file
from stlm.registry import hook
from stlm.training.folder import RunFolder
from stlm.training.state import TrainingState
from stlm.training.throughput import matmul_rate


class MetricsLog:
    """Writes ``{"step", "split", "loss", …}`` a line.

    A line of split ``train`` has the loss of its own step, not a mean over the steps since the last line: so a run that
    was stopped and went on can be compared with one that was not, line by line. ``tokens_per_second`` is the mean since
    the last line, over optimizer steps alone. Numbers that other plugins add to a step's metrics stand in the line too.
    """

    def __init__(self) -> None:
        self.file: TextIO | None = None
        self.rate = 0.0
        self.tokens, self.seconds = 0, 0.0
        self.unwritten: dict[str, float] | None = None

    @hook
    def training_starts(self, run: TrainingState) -> None:
        """Drop the lines after the step that the run goes on from, and open the file for more."""
        with reported_as(f"cannot write {run.folder.metrics}"):
            forget_after(run.folder, run.step)
            self.file = run.folder.metrics.open("a", encoding="utf-8")
        self.rate = matmul_rate(run.device, run.precision)
        self.tokens = run.tokens_seen

    @hook(trylast=True)
    def step_ends(self, run: TrainingState, metrics: dict[str, float]) -> None:
        """Write the step's line, after every other plugin had its say in ``metrics``."""
        self.seconds += metrics.pop("seconds")
        if run.step % run.trainer.log_interval and not run.finished:
            self.unwritten = metrics
            return
        self.write_step(run, metrics)

    def write_step(self, run: TrainingState, metrics: dict[str, float]) -> None:
        """Write the line of the step that was just done."""
        self.unwritten = None
        speed = (run.tokens_seen - self.tokens) / self.seconds if self.seconds else 0.0
        used = speed * run.program.report.flops_per_token["training"]
        self.tokens, self.seconds = run.tokens_seen, 0.0
        speeds = {"tokens_per_second": round(speed, 1), "mfu": round(used / self.rate, 4) if self.rate else None}
        self.write(run, {"step": run.step, "split": "train", **metrics, **speeds})

    @hook(trylast=True)
    def evaluation_ends(self, run: TrainingState, results: dict[str, Any]) -> None:
        """Write the line of held-out data, where it was looked at."""
        numbers = flat_numbers(results)
        if numbers:
            self.write(run, {"step": run.step, "split": "val", **numbers})

    @hook
    def training_ends(self, run: TrainingState) -> None:
        """Write the line of the last step, where a stop was asked for after its turn, and close the file."""
        if self.unwritten is not None and not run.failed:
            self.write_step(run, self.unwritten)
        if self.file is not None:
            self.file.close()

    def write(self, run: TrainingState, record: dict[str, Any]) -> None:
        """Write one line, so that it stands in the file at once, and tell the other plugins."""
        assert self.file is not None
        with reported_as(f"cannot write {run.folder.metrics}"):
            self.file.write(json.dumps(record) + "\n")
            self.file.flush()
        run.hooks.metrics_logged(run=run, record=record)


def flat_numbers(results: dict[str, Any]) -> dict[str, float]:
    """Lay the numbers of an evaluation side by side: the held-out loss as ``loss``, the rest by their path."""
    numbers = dict(results.get("dataset_loss", {}))
    for name, value in results.get("text_modeling", {}).items():
        if isinstance(value, int | float):
            numbers[f"text_modeling/{name}"] = value
    for benchmark, scores in results.get("benchmarks", {}).items():
        numbers.update({f"{benchmark}/{name}": value for name, value in scores.items() if name != "num_samples"})
    return numbers


def forget_after(folder: RunFolder, step: int) -> None:
    """Keep only the lines up to ``step``: what comes after will be written again, each step once.

    Where a line cannot be read, the file as it was stays beside the new one, under a numbered name.
    """
    if folder.metrics.exists():
        records = folder.read_metrics()
        kept = [record for record in records if record.get("step", 0) <= step]
        if len(records) < folder.metrics.read_bytes().count(b"\n"):  # a torn last line aside, nothing is thrown away
            folder.set_metrics_aside()
        write_file(folder.metrics, "".join(json.dumps(record) + "\n" for record in kept))
