"""The two steps: every task makes its share of the parts, and when all have, one task makes a data set of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from stlm.data.preparation.plan import Finished, Preparation
from stlm.data.preparation.prepare import plan_of, prepare
from stlm.data.preparation.shards import Done
from stlm.registry.loading import load_spec, load_tokenizer
from stlm.spec.errors import WorkError


class PrepareTokens(PipelineStep):
    """Makes, as task ``rank`` of ``world_size``, the parts ``rank``, ``rank + world_size``, … of a spec's data set.

    ``spec`` is a path that every machine sees, as are the data and `general.paths.data_dir`; ``overrides`` are those of
    ``--set``. What is finished is kept, so a task that was killed goes on. It reads the data set itself and passes on
    what comes from a step before it, if there is one.
    """

    name, type = "Prepare tokens", "stlm"

    def __init__(self, spec: str | Path, overrides: Sequence[str] = ()) -> None:
        super().__init__()
        self.spec, self.overrides = str(spec), tuple(overrides)

    def run(self, data: DocumentsPipeline | None = None, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Make the parts of one task."""
        for plan in plans(self.spec, self.overrides):
            if not (plan.folder / "manifest.json").exists():
                with self.track_time("task"):
                    self._make(attrs.evolve(plan, tasks=plan.tasks[rank::world_size]))
        yield from data or ()

    def _make(self, share: Preparation) -> None:
        def make(to_do: Sequence[tuple[int, Finished]]) -> None:
            encoder = share.encoder()
            for index, finished in to_do:
                share.make(index, self._tell, encoder=encoder, finished=finished)

        share.make_parts(dict(enumerate(share.finished())), make)  # what others made, `MergeManifest` makes again

    def _tell(self, done: Done) -> None:
        for what, count in attrs.asdict(done).items():
            self.stat_update(what, value=count, unit="batch")


class MergeManifest(PipelineStep):
    """Makes the data set whole, as one task that comes after all those of `PrepareTokens`.

    It is ``stlm prepare`` itself, which finds every part finished, compares each file with its digest, and writes the
    manifest. A shard that is damaged it makes again; where parts are missing, it raises `WorkError`.
    """

    name, type = "Merge manifest", "stlm"

    def __init__(self, spec: str | Path, overrides: Sequence[str] = ()) -> None:
        super().__init__()
        self.spec, self.overrides = str(spec), tuple(overrides)

    def run(self, data: DocumentsPipeline | None = None, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Merge, in the first task; more than one is a mistake."""
        if world_size != 1:
            raise ValueError(f"MergeManifest is the work of one task, and there are {world_size}: say `tasks=1`")
        spec = load_spec(self.spec, self.overrides)
        tokenizer = load_tokenizer(spec)
        for plan in plans_of(spec, tokenizer):
            require_made(plan)
        prepared = prepare(spec, tokenizer)
        for split, count in prepared.manifest["tokens"].items():
            self.stat_update(f"{split} tokens", value=count, unit="task")
        yield from data or ()


def require_made(plan: Preparation) -> None:
    """Raise `WorkError` where parts were not made by their tasks: this one machine would make all of them."""
    missing = [] if (plan.folder / "manifest.json").exists() or plan.is_merged() else plan.missing()
    if missing:
        raise WorkError(
            f"{len(missing)} of the {len(plan.tasks)} parts of {plan.name} are not made yet ({missing[0].part} for "
            "one): let the tasks of `PrepareTokens` end first, all of them and with the same spec"
        )


def plans(path: str, overrides: Sequence[str] = ()) -> Iterator[Preparation]:
    """Give the preparation of a spec's data set, or of each that it mixes."""
    spec = load_spec(path, overrides)
    return plans_of(spec, load_tokenizer(spec))


def plans_of(spec: Any, tokenizer: Any) -> Iterator[Preparation]:
    """Do what `plans` does, for a spec that is read and its tokenizer."""
    dataset: Any = spec.trainer.dataset
    for one in [member.component for member in getattr(dataset, "members", None) or ()] or [dataset]:
        yield plan_of(spec, one, tokenizer)
