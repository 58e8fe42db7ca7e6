"""The state of a run's parts as named tensors and JSON documents, and back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from stlm.data.storage import read_json
from stlm.spec.canonical import components_of
from stlm.spec.errors import WorkError
from stlm.training.flatten import flatten, named_optimizer_state, tensor_paths, unflatten
from stlm.training.group_options import changed_options
from stlm.training.state import TrainingState
from stlm.training.tensor_files import TensorFiles
from stlm.training.weights import distinct_state, shared_names


@attrs.frozen
class Snapshot:
    """The state of a run: tensors by kind, which names their file, and by name; documents by their file."""

    tensors: dict[str, dict[str, Tensor]]
    metadata: dict[str, dict[str, str]]
    documents: dict[str, Any]


def snapshot(run: TrainingState) -> Snapshot:
    """Take the state of a run; its tensors are the live ones, nothing is copied.

    Tensors that are not sharded are taken to be the same on all processes. Of a loader and of components, the state of
    the main process is everyone's. Raises `WorkError` where something is neither a tensor nor what JSON can say.
    """
    model, shared = distinct_state(run.model)
    optimizer: dict[str, Tensor] = {}
    named = named_optimizer_state(run.optimizer.state_dict(), list(named_parameters(run)))
    named["changed_options"] = changed_options(run.optimizer, run.built_options)
    documents = {"optimizer.json": _flattened(named, "optimizer", optimizer, run.trainer.optimizer.selector)}
    tensors, metadata = {"model": model, "optimizer": optimizer}, {"model": shared_names(shared)}
    parts = stateful_parts(run)
    if parts and run.processes.is_main:
        tensors["components"] = {}
        documents["components.json"] = {
            name: _flattened(part.state_dict(), name, tensors["components"], name) for name, part in parts.items()
        }
    return Snapshot(tensors, metadata, documents)


def _flattened(state: Any, path: str, tensors: dict[str, Tensor], name: str) -> Any:
    try:
        return flatten(state, path, tensors)
    except TypeError as error:
        raise WorkError(f"the state of `{name}` cannot be stored: {error}") from error


def named_parameters(run: TrainingState) -> dict[str, Tensor]:
    """Name each parameter that is optimized, in the order of the optimizer's groups."""
    names = {id(parameter): name for name, parameter in run.model.named_parameters()}
    return {names[id(p)]: p for group in run.optimizer.param_groups for p in group["params"]}


def stateful_parts(run: TrainingState) -> dict[str, Any]:
    """Find what has a state of its own besides model and optimizer, by name: the loader, its sampling, components.

    They have one where they can give it (``state_dict``) and take it back (``load_state_dict``).
    """
    loader = run.loader
    parts = {"loader": loader, "sampling": getattr(loader, "sampling", None), **dict(components_of(run.spec.sections))}
    return {name: part for name, part in parts.items() if _has_state(part)}


def _has_state(part: Any) -> bool:
    return all(callable(getattr(part, name, None)) for name in ("state_dict", "load_state_dict"))


def read_state(folder: Path, name: str, likes: Mapping[str, Tensor] | None = None) -> Any:
    """Read a state that was stored as ``name.json``, with the tensors of ``name.safetensors``.

    A tensor in the ``state`` of a parameter that is in ``likes`` is sharded as that is. Raises `ValueError`,
    `KeyError`, `TypeError`, `OSError` or `SafetensorError` where files are not as they were written.
    """
    skeleton = read_json(folder / f"{name}.json")
    if skeleton is None:
        raise ValueError(f"{folder / f'{name}.json'} cannot be read")
    paths = tensor_paths(skeleton)
    if not paths:
        return unflatten(skeleton, {})
    stored = TensorFiles(folder / f"{name}.safetensors")
    like = {
        path: likes[parameter]
        for parameter, state in (skeleton.get("state", {}) if likes else {}).items()
        if parameter in likes
        for path in tensor_paths(state)
    }
    tensors: dict[str, torch.Tensor] = {path: stored.empty(path, like.get(path)) for path in paths}
    stored.read_into(tensors)
    return unflatten(skeleton, tensors)
