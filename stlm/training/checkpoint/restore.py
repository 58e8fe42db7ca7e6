"""From a checkpoint back to a live run, on any number of processes."""

import logging

from safetensors import SafetensorError
from torch import nn

from stlm.spec.errors import WorkError
from stlm.training.checkpoint.found import Checkpoint
from stlm.training.checkpoint.parts import named_parameters, read_state, stateful_parts
from stlm.training.flatten import numbered_optimizer_state
from stlm.training.group_options import with_built_options
from stlm.training.state import TrainingState
from stlm.training.weights import load_weights

_log = logging.getLogger(__name__)
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError)


def restore_model(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Load the weights. Raises `WorkError` where they are not those of this model."""
    try:
        load_weights(model, checkpoint.folder / "model.safetensors")
    except (ValueError, OSError, SafetensorError) as error:
        raise WorkError(f"the weights cannot be loaded: {error}") from error


def restore(run: TrainingState, checkpoint: Checkpoint) -> None:
    """Set model, optimizer, loader, components, step and tokens to what they were.

    Options of the optimizer's groups stay as they were built, unless they had changed since they were: those are state
    (`stlm.training.group_options`).
    """
    restore_model(run.model, checkpoint)
    parameters = named_parameters(run)
    try:
        state = read_state(checkpoint.folder, "optimizer", parameters)
        changed = state.pop("changed_options")
        state = with_built_options(numbered_optimizer_state(state, list(parameters)), changed, run.built_options)
        run.optimizer.load_state_dict(state)
    except _UNREADABLE as error:
        raise WorkError(f"the optimizer's state in {checkpoint.folder} cannot be loaded: {error}") from error
    restore_parts(run, checkpoint)
    run.step, run.tokens_seen = checkpoint.step, checkpoint.tokens_seen


def restore_parts(run: TrainingState, checkpoint: Checkpoint) -> None:
    """Give the loader and components their state back; a state that nothing takes any more is told of."""
    if not (checkpoint.folder / "components.json").exists():
        return
    try:
        states = dict(read_state(checkpoint.folder, "components"))
    except _UNREADABLE as error:
        raise WorkError(f"the components' state in {checkpoint.folder} cannot be loaded: {error}") from error
    parts = stateful_parts(run)
    for name, state in states.items():
        if name in parts:
            parts[name].load_state_dict(state)
        else:
            _log.warning(
                "%s holds a state of `%s`, which this run does not have; it is left out", checkpoint.folder, name
            )
