"""The program: what a spec compiles to."""

from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import nn

from stlm.compiler import cost
from stlm.compiler.assemble import assemble, start
from stlm.compiler.device import missing_device, resolve_device, resolve_precision
from stlm.compiler.exports import exportable
from stlm.compiler.parallelism import refuse_uneven_steps, resolve_parallel
from stlm.compiler.processes import Processes
from stlm.compiler.report import Report, chosen, run_name
from stlm.nn.cost import flops_per_token
from stlm.registry.blame import blaming
from stlm.registry.lifecycle import lifecycle
from stlm.registry.loading import load_tokenizer
from stlm.spec import Code, Spec, UsageError, mistake
from stlm.spec.canonical import components_of


class Program:
    """A spec, assembled.

    ``device``, ``precision`` and ``parallel`` are decided once, here: where the network is, or, of a dry run, where it
    is to be, and how it is kept on the ``processes`` that train it.
    ``plugins`` are the component objects of the spec, each of which may take part in the moments of a run. The
    tokenizer is loaded (or trained) when it is first asked for.
    """

    def __init__(self, spec: Spec, model: nn.Module, device: torch.device, processes: Processes) -> None:
        self.spec = spec
        self.model = model
        self.device = device
        self.precision = resolve_precision(getattr(spec.trainer, "precision", "fp32"), device)
        self.processes = processes
        self.parallel = resolve_parallel(spec, processes)
        self.plugins = tuple(component for _, component in components_of(spec.sections))

    @cached_property
    def report(self) -> Report:
        """What the program is and costs."""
        spec, counts = self.spec, cost.parameters(self.model)
        forward = flops_per_token(self.model, spec.model.context_window)
        per_step = cost.tokens_per_step(spec)
        return Report(
            digest=spec.digest,
            run_name=run_name(spec, counts.total),
            spec=spec.to_plain(),
            components=chosen(self.plugins, spec.registry),
            parameters=counts,
            flops_per_token={"forward": forward, "training": 3 * forward},
            memory=cost.memory(self.model, spec, self.precision),
            tokens={"per_step": per_step, "total": per_step * spec.trainer.max_iters if spec.trainer else 0},
            exports=exportable(spec),
            assumes={"device": str(self.device), "precision": self.precision, "processes": self.processes.count},
        )

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer itself; raises `WorkError` where its files cannot be had."""
        return load_tokenizer(self.spec)


def compile(
    spec: Spec,
    device: str = "meta",
    *,
    trained: bool = False,
    kept: Path | None = None,
    processes: Processes | None = None,
) -> Program:
    """Assemble a spec; on ``meta`` its network has shapes but no numbers and costs no memory.

    On another device the network is initialized from `general.seed`; ``auto`` takes the best one that is there. With
    ``trained``, the caller is about to load weights: none are drawn, and none that were published are read. ``kept`` is
    a folder with what the core read when it was built for that training, which it then reads instead. Raises
    `SpecError` at the key that chose a component which cannot be built, or where a device is not there. With
    ``processes`` that have joined, it is the network of one of them: where they share it out, its own part.
    """
    processes = processes or Processes()
    refuse_uneven_steps(spec, processes)
    parallel = resolve_parallel(spec, processes)
    wanted = processes.device(resolve_device(spec.general.device if device == "meta" else device))
    problem = None if device == "meta" else missing_device(wanted)
    if problem is not None and device not in ("meta", spec.general.device):  # it was not the spec that said it
        raise UsageError(problem[0])
    if problem is not None:
        raise mistake(spec, "general.device", Code.DEVICE, *problem)
    if kept is not None:
        spec = _with_kept(spec, kept)
    with blaming(spec):
        fetch = getattr(spec.model.core_model, "fetch", None)
        if fetch is not None and device != "meta":
            fetch(weights=not trained)
        model = assemble(spec)
        if parallel == "fsdp":
            from stlm.nn.parallel import shard

            shard(model, wanted, processes.count)
        if device != "meta":
            start(model, spec, wanted, trained=trained)
    program = Program(spec, model, wanted, processes)
    lifecycle(*program.plugins, registry=spec.registry).hook.program_compiled(program=program)
    return program


def _with_kept(spec: Spec, folder: Path) -> Spec:
    kept_in = getattr(spec.model.core_model, "kept_in", None)
    return spec if kept_in is None else attrs.evolve(spec, model=attrs.evolve(spec.model, core_model=kept_in(folder)))
