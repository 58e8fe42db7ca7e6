"""How a spec is trained by several processes, and whether its step can be divided among them."""

import torch

from stlm.compiler.device import missing_device, resolve_device
from stlm.compiler.processes import Processes
from stlm.spec import Code, Spec, mistake


def resolve_parallel(spec: Spec, processes: Processes) -> str:
    """Turn ``auto`` into ddp where there are several processes; with one, nothing is replicated or shared out.

    Raises `SpecError` where several were started for a spec that is trained by one.
    """
    wanted = getattr(spec.trainer, "parallel", "none")
    if processes.count == 1:
        return "none"
    if wanted == "none" and spec.trainer is not None:
        message = f"{processes.count} processes were started, and `parallel: none` trains on one"
        raise mistake(spec, "trainer.parallel", Code.CONFLICT, message, "`auto`, `ddp` and `fsdp` train on several")
    return "ddp" if wanted == "auto" else str(wanted)


def refuse_uneven_steps(spec: Spec, processes: Processes) -> None:
    """Raise `SpecError` where the processes cannot each take the same share of an optimizer step."""
    trainer = spec.trainer
    if trainer is None or not hasattr(trainer, "batch_size"):
        return
    rows, micro_batches = trainer.batch_size, trainer.gradient_accumulation_steps
    if processes.share(rows, micro_batches) is None:
        raise mistake(
            spec,
            "trainer.batch_size",
            Code.RULE,
            f"a step of {micro_batches} micro-batches of {rows} sequences cannot be divided evenly among "
            f"{processes.count} processes",
            f"make `gradient_accumulation_steps` a multiple of {processes.count}, or `batch_size` of what is left "
            f"when the micro-batches are dealt out",
        )


def refuse_missing_devices(spec: Spec, processes: Processes) -> None:
    """Raise `SpecError` where the processes that are to be started on this machine have not a device each."""
    device = resolve_device(spec.general.device)
    if processes.count > 1 and device.index is not None:
        message = f"`{device}` is one device, and {processes.count} processes take one each"
        raise mistake(spec, "general.device", Code.DEVICE, message, f"write `{device.type}`")
    last = Processes(processes.count - 1, processes.count, processes.count - 1).device(device)
    problem = missing_device(last if torch.cuda.is_available() else device)
    if problem is not None:
        raise mistake(spec, "general.device", Code.DEVICE, *problem)
