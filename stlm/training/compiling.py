"""When a network is worth compiling, and how it is."""

import importlib.util
from typing import Any

import torch

from stlm.training.throughput import known_rate

COMPILING = 60.0
"""Seconds that torch.compile takes before the first step, about."""
WORTH_ITS_WAIT = 10
"""How many times as long a run must take to be compiled without being asked."""
USE = 0.4
"""Share of the device's matrix-multiply rate that training is taken to reach, for telling how long a run takes."""


def compile_network(run: Any) -> bool:
    """Compile the network of a run where its spec says so, or is silent and it pays; return whether that was done.

    A network that is shared out among processes is compiled block by block, for each block gathers its parameters.
    What `auto` means is decided by the main process, and by the length of the whole run: also of one that goes on.
    """
    wanted = getattr(run.trainer, "compile", False)
    if wanted == "auto":
        wanted = run.device.type == "cuda" and run.processes.broadcast(pays(run.device, training_seconds(run)))
    if not wanted:
        return False
    if run.program.parallel == "fsdp":
        from stlm.nn.parallel import blocks

        for block in blocks(run.model):
            block.compile()
    else:
        run.objective.compile_network()
    return True


def pays(device: torch.device, seconds: float) -> bool:
    """Whether a run of so many seconds is the faster one with torch.compile.

    On CPUs it never is: their time goes into matrix products, which are the same. Elsewhere a compiler must be there.
    """
    return device.type == "cuda" and bool(importlib.util.find_spec("triton")) and seconds > WORTH_ITS_WAIT * COMPILING


def training_seconds(run: Any) -> float:
    """Estimate how long a run takes from its first step to its last."""
    report = run.program.report
    tokens = report.tokens["total"]
    rate = known_rate(run.device, run.precision) * run.processes.count
    return float(report.flops_per_token["training"] * tokens / (USE * rate))
