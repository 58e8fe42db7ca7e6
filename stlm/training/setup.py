"""Put the parts of a run together, from what its spec chose."""

from functools import partial
from typing import Any

from stlm.registry.manager import lifecycle
from stlm.training.checkpoint import Checkpoint, restore
from stlm.training.folder import RunFolder
from stlm.training.loop import train
from stlm.training.precision import autocast_dtype
from stlm.training.progress import Progress
from stlm.training.saving import Checkpoints
from stlm.training.state import TrainingState
from stlm.training.tracking import MetricsLog


def assemble(
    program: Any, folder: RunFolder, data: Any, checkpoint: Checkpoint | None, *, evaluation: Any
) -> "partial[TrainingState]":
    """Return the run as a function without arguments: calling it trains, and returns the state at the end.

    stlm's own plugins come after those of the spec, among themselves in this order: numbers, evaluation, checkpoint.
    """
    spec, model = program.spec, program.model
    trainer, window = spec.trainer, spec.model.context_window
    device = next(model.parameters()).device
    sampling = trainer.datasampling.build(trainer, data.train.num_windows(window), spec.general.seed)
    chosen = [plugin for _, plugin in program.hooks.list_name_plugin()]
    run = TrainingState(
        program=program,
        spec=spec,
        model=model,
        optimizer=trainer.optimizer.build(trainer, model, device),
        loader=trainer.dataloader.build(trainer, data.train, sampling, window),
        loss=trainer.loss_fn.build(trainer),
        schedule=trainer.lr_scheduler.build(trainer),
        device=device,
        folder=folder,
        data=data,
        plugins=lifecycle(*chosen, Progress(), MetricsLog(), evaluation, Checkpoints()),
        autocast_dtype=autocast_dtype(trainer.precision, device),
    )
    if checkpoint is not None:
        restore(run, checkpoint)
    return partial(train, run)
