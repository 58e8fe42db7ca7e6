"""What a person is told of a run: how training gets on, on stderr."""

import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from stlm.components.benchmark.measures import ACC, FURTHER, MEASURES
from stlm.data.telling import LiveLine, duration, is_live
from stlm.registry import hook
from stlm.training.state import TrainingState

_ASIDE = {key for measure in MEASURES for key in (measure.stderr, measure.at_chance) if key}
"""Numbers that say how far a score can be trusted, and are none to be said alone."""


class Progress:
    """The plugin that prints to stderr: where the run is, each line of its metrics, and, on a terminal, a bar.

    Colors go away where ``NO_COLOR`` is set. A stream that was closed on us is no reason to lose a run.
    """

    def __init__(self) -> None:
        self.bar = Bar(0, 0)

    @hook
    def training_starts(self, run: TrainingState) -> None:
        """Say what starts, or goes on, and where."""
        self.bar = Bar(run.step, run.trainer.max_iters)
        report, last = run.program.report, run.trainer.max_iters
        steps = f"steps {run.step + 1:,} to {last:,}" if run.step else f"{last:,} steps"
        self.bar.say(f"run: {run.folder.root}")
        if run.finished:
            more = "a larger `trainer.max_iters` goes on"
            self.bar.say(f"this run is finished: {run.step:,} of {last:,} steps done; {more}")
            return
        count = run.processes.count
        by = f" by {count} processes ({run.program.parallel})" if count > 1 else ""
        self.bar.say(
            f"training {report.parameters.trainable:,} parameters on {run.device} in {run.precision}{by}: "
            f"{steps} of {report.tokens['per_step']:,} tokens"
        )
        if is_live(sys.stderr):
            self.bar.show()

    @hook
    def step_ends(self, run: TrainingState, metrics: dict[str, float]) -> None:
        """Move the bar."""
        self.bar.step_done(run.step, metrics, run.program.report.tokens["per_step"])

    @hook
    def metrics_logged(self, run: TrainingState, record: dict[str, Any]) -> None:
        """Print a line of the metrics."""
        self.bar.say(describe(record, run.trainer.max_iters, self.bar.seconds_left()))

    @hook
    def training_ends(self, run: TrainingState) -> None:
        """Take the bar away."""
        self.bar.stop()


class Bar(LiveLine):
    """One line of a terminal: a bar, and what there is to say of the step that was just done.

    What is less important is left out where the terminal is too narrow for it: the learning rate first.
    """

    def __init__(self, step: int, last: int) -> None:
        super().__init__()
        self.began, self.first, self.step, self.last = time.monotonic(), step, step, last
        self.metrics: Mapping[str, float] = {}
        self.speeds: deque[float] = deque(maxlen=20)

    def step_done(self, step: int, metrics: Mapping[str, float], tokens: int) -> None:
        """Take note of a step, of ``tokens``, that was done."""
        if not self.speeds:  # what was set up before the first step takes no time of the others
            self.began = time.monotonic() - metrics["seconds"]
        self.step, self.metrics = step, {name: metrics[name] for name in ("loss", "lr")}
        self.speeds.append(tokens / max(metrics["seconds"], 1e-9))

    def seconds_left(self) -> float:
        """Estimate the time to the last step from what the steps so far have taken, evaluations included."""
        done = self.step - self.first
        return (time.monotonic() - self.began) / done * (self.last - self.step) if done else 0.0

    def words(self, width: int | None = None) -> str:
        """Say as much as fits."""
        said = {"step": f"{self.step}/{self.last}"}
        if self.metrics:
            said["loss"] = f"loss {self.metrics['loss']:.3f}"
            said["lr"] = f"lr {self.metrics['lr']:.2e}"
            said["speed"] = f"{sum(self.speeds) / len(self.speeds):,.0f} tokens/s"
            said["left"] = f"{duration(self.seconds_left())} left"
        for unimportant in ("lr", "speed", "left", "loss"):
            if width is not None and len("  ".join(said.values())) > width:
                said.pop(unimportant, None)
        return "  ".join(said.values())

    def share(self) -> float:
        """Tell how many of the steps are done."""
        return self.step / max(self.last, 1)


def describe(record: dict[str, Any], max_iters: int, seconds_left: float = 0.0) -> str:
    """Put one record of metrics.jsonl into words."""
    start = f"step {record['step']:>{len(str(max_iters))}}/{max_iters}"
    words = _train_words(record) if record["split"] == "train" else _held_out_words(record)
    left = [f"{duration(seconds_left)} left"] if seconds_left >= 1 and record["split"] == "train" else []
    return "  ".join([start, *words, *left])


def _train_words(record: dict[str, Any]) -> list[str]:
    speed = f"{record['tokens_per_second']:,.0f} tokens/s"
    return [f"loss {record['loss']:.3f}", f"lr {record['lr']:.2e}", f"norm {record['grad_norm']:.2f}", speed]


def _held_out_words(record: dict[str, Any]) -> list[str]:
    """Say the loss beside what it must beat, and texts a byte; then the numbers of benchmarks and of plugins."""
    words = ["held out"]
    numbers = {name: value for name, value in record.items() if name not in ("step", "split")}
    loss, unigram = numbers.pop("loss", None), numbers.pop("unigram_loss", None)
    if loss is not None:
        words.append(f"loss {loss:.3f}" + (f" (unigram {unigram:.3f})" if unigram is not None else ""))
    numbers.pop("perplexity", None)  # the loss in other words
    of_all = numbers.pop("bits_per_byte", None)
    bits = numbers.pop("text_modeling/held_out/bits_per_byte", of_all)
    if bits is not None:
        words.append(f"{bits:.3f} bits/byte")
    right = numbers.pop("text_modeling/held_out/byte_accuracy", None)
    if right is not None:
        words.append(f"{right:.1%} of bytes right")
    bits, _ = numbers.pop("text_modeling/bits_per_byte", None), numbers.pop("text_modeling/byte_accuracy", None)
    if bits is not None:
        words.append(f"passages {bits:.3f} bits/byte")
    words += _benchmark_words(numbers)
    others = [(path, value) for path, value in numbers.items() if path.rpartition("/")[2] not in _ASIDE]
    return words + [f"{path} is not finite" if value is None else f"{path} {value:.3f}" for path, value in others]


def _benchmark_words(numbers: dict[str, Any]) -> list[str]:
    """Take the scores of benchmarks out of the numbers, and say each beside what guessing gives.

    Chance has a mark (``≈``) before it where the score cannot be told from it; so has a further score.
    """
    words = []
    for name in [path.removesuffix("/chance") for path in numbers if path.endswith("/chance")]:
        paths = [path for path in numbers if path.rpartition("/")[0] == name]
        own = {path.removeprefix(f"{name}/"): numbers.pop(path) for path in paths}
        said = [f"{name} {own[ACC.name]:.1%} (chance {'≈' if own.get(ACC.at_chance) else ''}{own['chance']:.1%})"]
        for measure in FURTHER:
            if measure.name in own:
                mark = " (≈ chance)" if own.get(measure.at_chance) else ""
                said.append(f"{measure.label} {own[measure.name]:.1%}{mark}")
        words.append(", ".join(said))
    return words
