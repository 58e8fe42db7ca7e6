"""What the tests of several processes see of an evaluation in each: `torchrun … ranks.py SPEC FOLDER`."""

import random
from typing import Any

import attrs
import torch

from stlm.compiler import compile
from stlm.compiler.processes import Processes
from stlm.evaluation import batching
from stlm.evaluation.dealing import dealt
from stlm.evaluation.items import Item
from stlm.evaluation.read_benchmarks import read_benchmarks
from stlm.evaluation.subject import EvaluationInterruptedError, Subject
from stlm.evaluation.suite import evaluate_subject
from stlm.registry.loading import parse_spec
from stlm.spec import Spec, UsageError, WorkError
from stlm.testing import tell

WAYS = {"ddp": (), "fsdp": ("trainer.parallel=fsdp",), "masked": ("model.attn.attn_type=bidirectional",)}
WORDS = ("cat", "dog", "fox", "hen", "owl", "saw", "slept", "The")


@attrs.frozen
class Animals:
    """Questions about animals; of several processes, only the main one has the rows."""

    processes: Processes
    selector: str = "animals"
    error: type[Exception] | None = None

    def items(self, num_samples: int, seed: int) -> list[Item]:
        assert self.processes.is_main, "the rows are read once"
        if self.error is not None:
            raise self.error("there are no animals")
        draw = random.Random(0)

        def words(count: int) -> str:
            return " ".join(draw.choice(WORDS) for _ in range(count))

        return [Item(i, words(1 + i % 7), tuple(words(1 + i % 3) for _ in range(3)), i % 3) for i in range(num_samples)]


def evaluated(spec: Spec, processes: Processes, *overrides: str) -> Any:
    """Score few rows in many batches, and return scores and rows."""
    program = compile(parse_spec(spec.dump(), overrides), "cpu", processes=processes)
    rows: list[dict[str, Any]] = []
    asked = read_benchmarks([Animals(processes)], 41, processes)
    subject = Subject.of(program, program.tokenizer)
    results = evaluate_subject(subject, None, asked, rows.append)
    return {**results["benchmarks"]["animals"], "rows": rows, "branches": subject.takes_branches}


def refused(processes: Processes, error: type[Exception]) -> Any:
    """Read rows that cannot be had; return what is raised here, or the reason that all know."""
    try:
        (read,) = read_benchmarks([Animals(processes, error=error)], 3, processes)
    except UsageError as told:
        return ["at once", str(told), told.told_by_main]
    return ["absent", read.why]


def interrupted(processes: Processes) -> Any:
    """Let one process be told to stop in the middle of seven tasks; return how many tasks were done here."""
    done: list[int] = []

    def asked() -> bool:
        return processes.any(processes.rank == 0 and len(done) == 2)[0]

    subject = Subject(None, None, 8, torch.device("cpu"), interrupted=asked, processes=processes)
    try:
        dealt(subject, range(7), done.append)
    except EvaluationInterruptedError:
        return len(done)
    return None


def all_that_is_seen(spec: Spec, processes: Processes) -> dict[str, Any]:
    batching.CPU_TOKENS = 48
    seen = {name: evaluated(spec, processes, *overrides) for name, overrides in WAYS.items()}
    seen["odd"] = dealt(Subject(None, None, 8, torch.device("cpu"), processes=processes), range(5), lambda n: n * n)
    seen["none"] = dealt(Subject(None, None, 8, torch.device("cpu"), processes=processes), [], lambda n: n)
    seen["absent"], seen["mistaken"] = refused(processes, WorkError), refused(processes, UsageError)
    seen["broken"] = refused(processes, KeyError)
    seen["interrupted"] = interrupted(processes)
    return seen


if __name__ == "__main__":
    tell(all_that_is_seen)
