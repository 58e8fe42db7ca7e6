"""What the tests of several processes see in each of them, all in one start: `torchrun … ranks.py SPEC FOLDER`."""

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.distributed import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.distributed.fsdp import FSDPModule
from torch.futures import Future

from stlm.compiler import compile
from stlm.compiler.processes import Processes
from stlm.data.preparation.prepare import prepare
from stlm.nn.parallel import blocks, replicate
from stlm.registry.loading import parse_spec
from stlm.spec import Spec
from stlm.testing import tell
from stlm.training.loop import backward, take_step
from stlm.training.state import TrainingState

MASKS = ("trainer.loss_fn=next_token_mlm", "trainer.mlm_probability=0.3")
ROWS = ("trainer.batch_size=4", "trainer.gradient_accumulation_steps=1")
STILL = "model.ffn.ffn_dropout=0"
COURSES = {
    "masks": MASKS,
    "masks of shared rows": (*MASKS, *ROWS, STILL),
    "four micro-batches": ("trainer.gradient_accumulation_steps=4",),
    "compiled shards": ("trainer.parallel=fsdp", "trainer.compile=true"),
}
"""Ways to train that are to give the same numbers on any number of processes."""


def build(spec: Spec, processes: Processes, *overrides: str) -> TrainingState:
    changed = parse_spec(spec.dump(), overrides)
    program = compile(changed, "cpu", processes=processes)
    run: TrainingState = changed.trainer.build(program, folder=None, data=prepare(changed, program.tokenizer))
    run.model.train()
    return run


def course(run: TrainingState, steps: int = 3) -> list[dict[str, float]]:
    """Take some steps; return what is the same on any number of processes, whatever the clock says."""
    return [{key: number for key, number in take_step(run).items() if key != "seconds"} for _ in range(steps)]


def traced(spec: Spec, processes: Processes, *overrides: str) -> Any:
    """Take the steps of compiled shards, without a code generator, which takes a minute: what is traced is the same."""
    plain, torch.compile = torch.compile, functools.partial(torch.compile, backend="aot_eager")  # type: ignore[assignment]
    counters.clear()
    try:
        run = build(spec, processes, *overrides)
        numbers = course(run)
    finally:
        torch.compile = plain
    shared_out = [isinstance(block, FSDPModule) for block in blocks(run.model)]
    return numbers, shared_out, counters["stats"]["unique_graphs"]


def reductions(run: TrainingState) -> Any:
    """Count how often gradients travel in each of some steps."""
    seen: list[int] = []

    def reduce(state: None, bucket: GradBucket) -> Future[Tensor]:
        seen[-1] += 1
        return allreduce_hook(state, bucket)  # type: ignore[arg-type]

    run.objective.register_comm_hook(None, reduce)  # type: ignore[operator]
    numbers: list[dict[str, float]] = []
    for _ in range(3):
        seen.append(0)
        numbers += course(run, steps=1)
    return numbers, seen


def losses_of_the_same_rows(run: TrainingState) -> list[float]:
    """Give each process the same rows, as if they were its own, two times; return their losses."""
    batch = run.loader.batch(0, 0).rows(slice(0, 2))
    return [float(backward(run, 0, batch, batch.targets.numel(), 1)["loss"]) for _ in range(2)]


class Counter(nn.Module):
    """A module with a parameter and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("own", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return (self.weight * x).sum() + self.own


def buffer_after_a_forward_pass(rank: int) -> float:
    """Let each process write a number of its own into a buffer of a replica; return what is there after two passes."""
    module = Counter()
    replica = replicate(module)
    for _ in range(2):
        module.own.fill_(rank)
        replica(torch.ones(2)).sum().backward()
    return float(module.own)


def all_that_is_seen(spec: Spec, processes: Processes) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name in ("masks", "masks of shared rows"):
        seen[name] = course(build(spec, processes, *COURSES[name]))
    seen["four micro-batches"], seen["reductions"] = reductions(build(spec, processes, *COURSES["four micro-batches"]))
    seen["compiled shards"], seen["blocks"], seen["graphs"] = traced(spec, processes, *COURSES["compiled shards"])
    seen["same rows"] = losses_of_the_same_rows(build(spec, processes, *ROWS))
    seen["buffer"] = buffer_after_a_forward_pass(processes.rank)
    return seen


if __name__ == "__main__":
    tell(all_that_is_seen)
