"""The program: what a spec compiles to."""

from functools import cached_property
from typing import Any

import pluggy
from torch import nn

from stlm.compiler import cost
from stlm.compiler.assemble import assemble, start
from stlm.compiler.device import missing_device, resolve_device, resolve_precision
from stlm.compiler.exports import exportable
from stlm.compiler.report import Report, chosen, run_name
from stlm.nn.cost import flops_per_token
from stlm.registry.manager import Registry, components_of, installed, lifecycle
from stlm.spec import Code, Spec, mistake


class Program:
    """A spec, assembled. Its network is built at once, its tokenizer loaded (or trained) when first asked for."""

    def __init__(self, spec: Spec, model: nn.Module, registry: Registry) -> None:
        self.spec = spec
        self.model = model
        self.registry = registry

    @cached_property
    def report(self) -> Report:
        """What the program is and costs."""
        spec, counts = self.spec, cost.parameters(self.model)
        device = resolve_device(spec.general.device)
        precision = resolve_precision(getattr(spec.trainer, "precision", "fp32"), device)
        forward = flops_per_token(self.model, spec.model.context_window)
        per_step = cost.tokens_per_step(spec)
        return Report(
            digest=spec.digest,
            run_name=run_name(spec, counts.total),
            spec=spec.to_plain(),
            components=chosen(spec, self.registry),
            parameters=counts,
            flops_per_token={"forward": forward, "training": 3 * forward},
            memory=cost.memory(self.model, counts, spec, precision),
            tokens={"per_step": per_step, "total": per_step * getattr(spec.trainer, "max_iters", 0)},
            exports=exportable(spec, self.registry),
            assumes={"device": device, "precision": precision, "processes": 1},
        )

    @cached_property
    def hooks(self) -> pluggy.PluginManager:
        """The plugin manager in which the spec's components take part, those of `general.hooks` included."""
        return lifecycle(*components_of(self.spec.sections))

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer itself; raises `WorkError` where its files cannot be had."""
        made = self.spec.model.tokenizer.build(self.spec)
        promised = self.spec.model.tokenizer.vocab_size
        if made.vocab_size != promised:
            message = f"the tokenizer that was loaded has {made.vocab_size} tokens, the spec promises {promised}"
            raise mistake(self.spec, "model.tokenizer_type", Code.RULE, message)
        return made


def compile(spec: Spec, device: str = "meta", *, registry: Registry | None = None) -> Program:
    """Assemble a spec; on ``meta`` its network has shapes but no numbers and costs no memory.

    On another device the network is initialized from `general.seed`; ``auto`` takes the best one that is there. Raises
    `SpecError` at the key that chose a component which cannot be built, or where a device is not there.
    """
    registry = registry or installed()
    program = Program(spec, assemble(spec, registry), registry)
    if device != "meta":
        where = present_device(spec, device)
        start(program.model, spec, where, registry)
    program.hooks.hook.program_compiled(program=program)
    return program


def present_device(spec: Spec, device: str) -> str:
    """Resolve a device name to one that is there; raises `SpecError` (code ``device``) that says what is."""
    wanted = resolve_device(device)
    problem = missing_device(wanted)
    if problem is not None:
        raise mistake(spec, "general.device", Code.DEVICE, *problem)
    return wanted
