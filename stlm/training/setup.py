"""Put the parts of a run together, from what its spec chose."""

from functools import partial
from typing import Any

from stlm.data.serving.drawing import sampling_of
from stlm.registry.lifecycle import lifecycle
from stlm.training.allocator import keep_large_blocks
from stlm.training.checkpoint import Checkpoint, restore
from stlm.training.compiling import compile_network
from stlm.training.folder import RunFolder
from stlm.training.progress import Progress
from stlm.training.saving import Checkpoints
from stlm.training.state import TrainingState
from stlm.training.tracking import MetricsLog
from stlm.training.wandb_run import trackers


def assemble(
    program: Any, folder: RunFolder, data: Any, checkpoint: Checkpoint | None, *, evaluation: Any
) -> TrainingState:
    """Return the state of a run, as it was at ``checkpoint`` where there is one; nothing is written.

    stlm's own plugins come after those of the spec, among themselves in this order: numbers, evaluation, checkpoint.
    Of several processes, the main one alone tells what happens.
    """
    if program.device.type == "cpu":
        keep_large_blocks()
    spec = program.spec
    trainer, window = spec.trainer, spec.model.context_window
    sampling = sampling_of(data.train, partial(trainer.datasampling.build, trainer), window, spec.general.seed)
    telling = (Progress(), MetricsLog(), *trackers(spec)) if program.processes.is_main else ()
    run = TrainingState(
        program=program,
        optimizer=trainer.optimizer.build(trainer, program.model, program.device),
        loader=trainer.dataloader.build(trainer, data.train, sampling, window),
        loss=trainer.loss_fn.build(trainer),
        schedule=trainer.lr_scheduler.build(trainer),
        folder=folder,
        data=data,
        plugins=lifecycle(*program.plugins, *telling, evaluation, Checkpoints(), registry=spec.registry),
    )
    if checkpoint is not None:
        restore(run, checkpoint)
    compile_network(run)
    if program.parallel == "ddp":
        from stlm.nn.parallel import replicate

        run.objective = replicate(run.objective)
    return run
