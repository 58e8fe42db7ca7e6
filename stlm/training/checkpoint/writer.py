"""Where torch.distributed.checkpoint writes: a checkpoint's folder, in which nothing is pickled."""

import dataclasses
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import Metadata, MetadataIndex
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner, WriteItem
from torch.distributed.checkpoint.storage import StorageWriter, WriteResult
from torch.futures import Future

from stlm.data.storage import flush, reported_as
from stlm.training.checkpoint.contents import Contents, size_and_hash
from stlm.training.tensor_files import save_tensors, shard_name


class FolderWriter(StorageWriter):
    """Writes tensors called ``kind.name`` into ``kind.safetensors``, or into a shard for each process that has some.

    Shards are those of `torch.distributed.checkpoint.HuggingFaceStorageWriter` in all but their names, so that its
    reader opens them. Each process hashes what it wrote; the one that coordinates makes the folder and finishes it,
    when all have written.
    """

    def __init__(self, contents: Contents, metadata: dict[str, dict[str, str]]) -> None:
        self.contents = contents
        self.metadata = metadata

    def reset(self, checkpoint_id: Any = None) -> None:
        """Do nothing: a writer writes one checkpoint."""

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Make the folder."""
        if is_coordinator:
            self.contents.begin()

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """Leave it as it is."""
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Name the files that each process writes, by kind."""
        named: list[dict[str, str]] = [{} for _ in plans]
        for kind in sorted({_kind(item) for plan in plans for item in plan.items}):
            writers = [rank for rank, plan in enumerate(plans) if any(_kind(item) == kind for item in plan.items)]
            for number, rank in enumerate(writers, start=1):
                named[rank][kind] = shard_name(kind, number, len(writers))
        return [dataclasses.replace(plan, storage_data=names) for plan, names in zip(plans, named, strict=True)]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write this process's files, flush them, and say their sizes and hashes."""
        results = []
        for kind, name in plan.storage_data.items():
            path = self.contents.making / name
            items = [item for item in plan.items if _kind(item) == kind]
            tensors = _apart({_name(item): planner.resolve_data(item) for item in items})
            begins = {_name(item): list(item.tensor_data.chunk.offsets) for item in items if item.tensor_data}
            with reported_as(f"cannot write `{self.contents.target}`"):
                is_part = name != shard_name(kind, 1, 1)
                save_tensors(tensors, path, self.metadata.get(kind), begins if is_part else None)
                flush(path)
                about = size_and_hash(path)
            results.append(WriteResult(MetadataIndex(name), about["bytes"], about))
        future: Future[list[WriteResult]] = Future()
        future.set_result(results)
        return future

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Write the rest and let the folder appear; ``metadata`` is what the files say themselves."""
        self.contents.finish({result.index.fqn: result.storage_data for of_one in results for result in of_one})

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        """Refuse to be chosen by a path."""
        return False


def _kind(item: WriteItem) -> str:
    return item.index.fqn.partition(".")[0]


def _name(item: WriteItem) -> str:
    return item.index.fqn.partition(".")[2]


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Make each tensor contiguous and free of storage that another has too, or has more of, as the format wants it."""
    seen: set[int] = set()
    made = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage()
        alone = storage.data_ptr() not in seen and storage.nbytes() == tensor.nbytes
        seen.add(storage.data_ptr())
        made[name] = tensor.contiguous() if alone else tensor.clone(memory_format=torch.contiguous_format)
    return made
