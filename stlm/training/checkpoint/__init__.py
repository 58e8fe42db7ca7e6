"""Checkpoints: all that is needed to go on as if nothing had happened, in safetensors and JSON.

``checkpoints/step-N/`` holds ``model.safetensors``, ``optimizer.safetensors`` with ``optimizer.json``, ``tokenizer/``,
``core/`` (what the core's `build` read, of one that reads files), ``spec.yaml``, ``lock.json`` and ``state.json``,
which also has the size and hash of every other file. Where parts of the run have a state of their own, it is in
``components.json`` and ``components.safetensors``. A model that several processes share out is in a file for each,
``model-00001-of-00002.safetensors``, and its optimizer too; how many there are does not matter to who reads them.
Random state is not stored, for it is a function of the seed and the step.

A folder appears under its name complete, or not at all; one that was damaged later is noticed by its hashes, and the
one before it is used.
"""

from stlm.training.checkpoint.contents import write_checkpoint
from stlm.training.checkpoint.found import (
    Checkpoint,
    DamagedError,
    best_checkpoint,
    checkpoint_folders,
    latest_checkpoint,
    note_held_out,
    read_checkpoint,
    remove_old,
    were_written,
)
from stlm.training.checkpoint.restore import restore, restore_model

__all__ = [
    "Checkpoint",
    "DamagedError",
    "best_checkpoint",
    "checkpoint_folders",
    "latest_checkpoint",
    "note_held_out",
    "read_checkpoint",
    "remove_old",
    "restore",
    "restore_model",
    "were_written",
    "write_checkpoint",
]
