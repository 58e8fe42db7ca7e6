"""The plugin that writes metrics.jsonl, a line for each log step and each evaluation, which stands there at once."""

import json
import math
from collections.abc import Generator
from typing import Any, BinaryIO

from stlm.data.storage import reported_as, write_file
from stlm.nn.cost import flops_per_token
from stlm.registry import hook
from stlm.spec.errors import WorkError
from stlm.training.folder import RunFolder
from stlm.training.state import TrainingState
from stlm.training.throughput import known_rate
from stlm.training.unwritten import Unwritten, append


class MetricsLog:
    """Writes ``{"step", "split", "loss", …}`` a line.

    A line of split ``train`` has the loss of its own step, not a mean over the steps since the last line: so a run
    that was stopped and went on can be compared with one that was not, line by line. ``tokens_per_second`` is the
    mean since the last line, over optimizer steps alone, of all tokens that went through the model; ``mfu`` counts
    the head for those alone that the loss asked for. Numbers that other plugins add to a step's metrics stand in
    the line too.
    """

    def __init__(self) -> None:
        self.file: BinaryIO | None = None
        self.lines = Unwritten()
        self.rate = 0.0
        self.head = 0.0
        self.step, self.seen, self.seconds = 0, 0, 0.0
        self.unwritten: dict[str, float] | None = None

    @hook
    def training_starts(self, run: TrainingState) -> None:
        """Drop the lines after the step that the run goes on from, and open the file for more."""
        if run.folder.metrics.exists() and not run.folder.metrics.is_file():
            raise WorkError(f"{run.folder.metrics} is no plain file; put it out of the way to go on")
        with reported_as(f"cannot write {run.folder.metrics}"):
            forget_after(run.folder, run.step, held_out=run.owes_evaluation)
            self.file = run.folder.metrics.open("ab", buffering=0)
        self.rate = known_rate(run.device, run.precision) * run.processes.count
        self.head = 3 * flops_per_token(run.model.head, run.spec.model.context_window)
        self.step, self.seen = run.step, run.tokens_seen

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
        report = run.program.report
        tokens = (run.step - self.step) * report.tokens["per_step"]
        not_asked = tokens - (run.tokens_seen - self.seen)
        done = tokens * report.flops_per_token["training"] - not_asked * self.head
        seconds = self.seconds or math.inf
        self.step, self.seen, self.seconds = run.step, run.tokens_seen, 0.0
        used = round(done / seconds / self.rate, 4) if self.rate else None
        speeds = {"tokens_per_second": round(tokens / seconds, 1), "mfu": used}
        self.write(run, {"step": run.step, "split": "train", **metrics, **speeds})

    @hook(trylast=True)
    def evaluation_ends(self, run: TrainingState, results: dict[str, Any]) -> None:
        """Write the line of held-out data, where it was looked at."""
        numbers = flat_numbers(results)
        if numbers:
            self.write(run, {"step": run.step, "split": "val", **numbers})

    @hook(wrapper=True)
    def training_ends(self, run: TrainingState) -> Generator[None, None, None]:
        """Write the line of the last step, where a stop was asked for after its turn, and close the file.

        Lines that the disk refuses to the end are told of when all other plugins have ended.
        """
        try:
            if self.unwritten is not None and not run.failed:
                self.write_step(run, self.unwritten)
        finally:
            yield
        if self.file is not None:
            with self.file:
                self.lines.finish(run.failed)

    def write(self, run: TrainingState, record: dict[str, Any]) -> None:
        """Write one line, after those that a full disk has refused so far, and tell the other plugins."""
        record = {name: as_json(name, value) for name, value in record.items()}
        rest = bytearray(f"{json.dumps(record)}\n".encode())
        self.lines.put(lambda: self.append(run, rest))
        run.hooks.metrics_logged(run=run, record=record)

    def append(self, run: TrainingState, rest: bytearray) -> None:
        """Append what is left of a line to the file."""
        assert self.file is not None
        with reported_as(f"cannot write {run.folder.metrics}"):
            append(self.file, rest)


def as_json(name: str, value: Any) -> Any:
    """Make a number of a number-like value; one that is not finite, for which JSON has no word, is null.

    Raises `WorkError` for anything that is no number, which only a hook can have brought.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WorkError(f"a hook put {type(value).__name__} `{name}` into the metrics, which are numbers") from error
    return number if math.isfinite(number) else None


def flat_numbers(results: dict[str, Any]) -> dict[str, float]:
    """Lay the numbers of an evaluation side by side: the held-out loss as ``loss``, the rest by their path."""
    numbers = dict(results.get("dataset_loss", {}))
    text = results.get("text_modeling", {})
    for path, said in (("text_modeling", text), ("text_modeling/held_out", text.get("held_out", {}))):
        numbers |= {f"{path}/{name}": said[name] for name in ("bits_per_byte", "byte_accuracy") if name in said}
    for benchmark, scores in results.get("benchmarks", {}).items():
        for name, value in scores.items():
            if isinstance(value, int | float) and name not in ("num_samples", "truncated"):
                numbers[f"{benchmark}/{name}"] = value
    return numbers


def forget_after(folder: RunFolder, step: int, *, held_out: bool = False) -> None:
    """Keep only the lines up to ``step``: what comes after will be written again, each step once.

    With ``held_out``, the held-out line of ``step`` itself will be written again too.
    Where a line cannot be read, the file as it was stays beside the new one, under a numbered name.
    """
    if folder.metrics.exists():
        records = folder.read_metrics()
        again = [(step, "val")] if held_out else []
        kept = [r for r in records if r["step"] <= step and (r["step"], r.get("split")) not in again]
        if len(records) < folder.metrics.read_bytes().count(b"\n"):  # a torn last line aside, nothing is thrown away
            folder.set_metrics_aside()
        write_file(folder.metrics, "".join(json.dumps(record) + "\n" for record in kept))
