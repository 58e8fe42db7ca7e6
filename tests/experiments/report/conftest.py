"""A run's folder with all that a report can show, written by hand."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stlm.spec import Spec

NASTY = "<script>document.title = 'taken over'</script><img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}"
"""What no page may take for anything but text."""


class Folder:
    """A run of 100 steps and two evaluations."""

    def __init__(self, root: Path, spec: Spec) -> None:
        self.root = root
        (root / "evals").mkdir(parents=True)
        self.write("spec.yaml", spec.dump())
        self.write("source.yaml", spec.source_text)
        self.lock(command=["/usr/bin/stlm", "train", "my spec.yaml"])
        self.metrics([{"step": step, "split": "train", **self.numbers(step)} for step in range(1, 101)])
        for step in (50, 100):
            self.evaluation(step)
            self.samples(step, [("Once", f" there was {step}")])
        self.rows(100, [self.row("arc", 3, [-9.0, -4.0]), self.row("arc", 5, [-2.0, -7.0])])

    def write(self, name: str, content: Any) -> None:
        """Write a file, as it is or as JSON."""
        text = content if isinstance(content, str) else json.dumps(content)
        (self.root / name).write_text(text, encoding="utf-8")

    def lock(self, **session: Any) -> None:
        """Write a lock with one session."""
        one = {
            "started": "2026-03-01T09:30:00+00:00",
            "directory": "/home/me",
            "stlm": "0.1.0",
            "python": "3.11.7",
            "torch": "2.13.0",
            "plugins": {"stlm": "0.1.0", "stlm-toy": "2.0"},
            "device": "cpu",
            "precision": "fp32",
            "processes": 1,
        }
        prints = {"data": "sha256:da7a", "tokenizer": "sha256:70c3"}
        document = {"run_name": "toy", "digest": "sha256:d19e", "fingerprints": prints, "sessions": [one | session]}
        self.write("lock.json", document)

    def metrics(self, lines: list[dict[str, Any]], tail: str = "") -> None:
        """Write the lines of training, and a line of held-out data for every fiftieth step."""
        held_out = [
            {"step": line["step"], "split": "val", "loss": line["loss"] + 0.1, "unigram_loss": 5.5, "bits_per_byte": 2}
            for line in lines
            if line["step"] % 50 == 0
        ]
        self.write("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in (*lines, *held_out)) + tail)

    @staticmethod
    def numbers(step: int) -> dict[str, Any]:
        """What a line of a step says."""
        speed = {"tokens_per_second": 640.0, "mfu": 0.25}
        return {"loss": 6 - math.log(step), "lr": 1e-3, "grad_norm": 1.0, "tokens": 64 * step, **speed}

    def evaluation(self, step: int, **more: Any) -> None:
        """Write an evaluation with one benchmark and texts."""
        arc = {"acc": 0.4 + step / 1000, "acc_norm": 0.45, "stderr": 0.03, "num_samples": 270, "chance": 0.25}
        text = {"bits_per_byte": 2.5, "byte_accuracy": 0.3, "passages": "shipped"}
        text |= {"by_topic": {"easy_tales": {"bits_per_byte": 1.75}}}
        document = {"run": str(self.root), "step": step, "benchmarks": {"arc": arc}, "text_modeling": text}
        self.write(f"evals/step-{step}.json", document | more)

    def samples(self, step: int, texts: list[tuple[str, str]]) -> None:
        """Write samples of text."""
        listed = [{"prompt": prompt, "text": text} for prompt, text in texts]
        self.write(f"evals/step-{step}.samples.json", {"step": step, "samples": listed})

    @staticmethod
    def row(benchmark: str, number: int, scores: list[float], **more: Any) -> dict[str, Any]:
        """Make a row whose first choice is right."""
        texts = {"context": "Is ice cold?", "choices": [f"choice {n}" for n in range(len(scores))]}
        return {"benchmark": benchmark, "row": number, "gold": 0, "log_likelihoods": scores, **texts, **more}

    def rows(self, step: int, rows: list[Any], tail: str = "") -> None:
        """Write the rows of an evaluation."""
        self.write(f"evals/step-{step}.rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + tail)


@pytest.fixture
def folder(tiny_spec: Callable[..., Spec], tmp_path: Path) -> Folder:
    """The folder of a run of the tiny spec, of 100 steps."""
    return Folder(tmp_path / "toy", tiny_spec("trainer.max_iters=100"))
