"""Make the tokens that a spec trains on, once: documents are split, encoded and written, and found again next time."""

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from stlm.data.preparation.encoding import Encoder, cores
from stlm.data.preparation.mixture import Prepared, prepare_mixture
from stlm.data.preparation.plan import Finished, Preparation
from stlm.data.preparation.prepared import Damage, PreparedData, files_of, look_at
from stlm.data.preparation.shards import Done
from stlm.data.preparation.split import MIN_WINDOWS, SplitRule, fraction_between
from stlm.data.preparation.workers import UnfitError, make_in_workers
from stlm.data.sources.source import DocumentSource, has_completions, tell_of, validation_of
from stlm.data.storage import lock_of, locked, reported_as, slug
from stlm.data.surrogates import mended_document
from stlm.spec import Code, mistake
from stlm.spec.errors import StlmError, UsageError, WorkError

__all__ = ["Reached", "carry_out", "plan_of", "prepare", "prepare_data_set"]

_log = logging.getLogger(__name__)
_WORTH_A_PROCESS_BYTES = 1 << 23


@attrs.frozen
class Reached:
    """How far a preparation is; ``fraction`` (0 to 1) is of what is to be read, None where that is not known."""

    documents: int
    bytes: int
    tokens: int
    seconds: float
    fraction: float | None


Progress = Callable[[Reached], None]


def prepare(spec: Any, tokenizer: Any, progress: Progress | None = None, *, workers: int | None = None) -> Prepared:
    """Give the prepared tokens of a spec, from ``data_dir`` where they are there, else made now.

    ``progress`` is told how far it is. ``workers`` processes work side by side, as many as there are cores unless it is
    said; their number changes nothing in what is written. Other processes that want the same tokens wait.
    """
    if spec.trainer is None:
        raise UsageError("a spec without a `trainer` section names no data set to prepare")
    dataset = spec.trainer.dataset
    refuse_plain_texts(spec, dataset)

    def one(dataset: Any) -> PreparedData:
        return prepare_data_set(spec, dataset, tokenizer, progress, workers=workers)

    members = getattr(dataset, "members", None)
    if members is not None:
        return prepare_mixture(spec, members, one)
    prepared, window = one(dataset), spec.model.context_window
    if not prepared.train.num_windows(window):
        raise WorkError(
            f"data set `{dataset.selector}` holds no whole window of {window} tokens to train on; use more data or a "
            "smaller `context_window`"
        )
    return prepared


def refuse_plain_texts(spec: Any, dataset: Any) -> None:
    """Raise a mistake where the loss is to be on completions, and no document of the data set has one."""
    if getattr(spec.trainer, "loss_on", "all") != "completion" or has_completions(dataset.build(spec)):
        return
    message = "`loss_on: completion` needs prompts with completions, and the data have plain texts alone"
    say = "say what is prompt and what completion by `prompt_template` and `completion_template`, beside the data set"
    raise mistake(spec, "trainer.loss_on", Code.RULE, message, say)


def prepare_data_set(
    spec: Any, dataset: Any, tokenizer: Any, progress: Progress | None = None, *, workers: int | None = None
) -> PreparedData:
    """Prepare the tokens of one data set, as the rest of a spec wants them."""
    try:
        source = dataset.build(spec)
        tell_of(source)
        plan = plan_of(spec, dataset, tokenizer)
        prepared = carry_out(plan, progress, workers=workers, source=source)
        if plan.layout.rule is SplitRule.DOCUMENTS and plan.layout.fraction > 0:
            otherwise = _divided_otherwise(spec, dataset, tokenizer, prepared)
            if otherwise is not None:
                prepared = carry_out(otherwise, progress, workers=workers, source=source)
            _tell_of_split(prepared, spec.model.context_window)
        if not prepared.manifest["tokens"]["val"] and not prepared.has_completions and _wants_held_out(plan):
            _log.warning("nothing could be held out of %s, so there is no held-out loss", plan.name)
    except UsageError as error:
        error.stlm_component = dataset  # type: ignore[attr-defined]  # is told at the key that chose it
        raise
    _log.info("%s", prepared)
    return prepared


def _divided_otherwise(spec: Any, dataset: Any, tokenizer: Any, prepared: PreparedData) -> Preparation | None:
    """Plan another division where that by hashes gives too little to one side; None where it will do.

    Prompts with completions stay whole, and one on either side is enough; of other documents the tails are held out.
    """
    tokens, known = min(prepared.manifest["tokens"].values()), prepared.fingerprint
    if not prepared.has_completions:
        if tokens >= MIN_WINDOWS * spec.model.context_window:
            return None
        return plan_of(spec, dataset, tokenizer, SplitRule.TAILS, fingerprint=known)
    if tokens:
        return None
    documents = map(mended_document, dataset.build(spec).documents())
    fraction = fraction_between(documents, spec.trainer.validation_fraction)
    return plan_of(spec, dataset, tokenizer, SplitRule.DOCUMENTS, fraction=fraction, fingerprint=known)


def _tell_of_split(prepared: PreparedData, window: int) -> None:
    """Say how documents were divided, where it is not by the share of whole documents alone."""
    said = prepared.manifest
    if prepared.has_completions:
        level = logging.INFO if said["tokens"]["val"] else logging.WARNING
        _log.log(level, "%s", said["split"])
    elif said["split_rule"] == SplitRule.TAILS.value and not prepared.reused:
        _log.info("%s (a window is the %d tokens that the model sees at once)", said["split"], window)


def _wants_held_out(plan: Preparation) -> bool:
    return plan.layout.rule is SplitRule.OWN or plan.layout.fraction > 0


def plan_of(
    spec: Any,
    dataset: Any,
    tokenizer: Any,
    rule: SplitRule | None = None,
    *,
    fraction: float | None = None,
    fingerprint: str | None = None,
) -> Preparation:
    """Plan the preparation of a data set; ``rule`` is that which comes first, unless it is said.

    ``fraction`` is held out, that of the spec unless it is said. Who knows the ``fingerprint`` of the data saves
    reading them for it.
    """
    source = dataset.build(spec)
    return Preparation.of(
        source,
        tokenizer,
        rule or _first_rule(source),
        spec.trainer.validation_fraction if fraction is None else fraction,
        name=f"{slug(dataset.selector)}-{slug(spec.model.tokenizer.selector)}",
        parent=Path(spec.general.paths.data_dir) / "tokens",
        fingerprint=fingerprint,
    )


def _first_rule(source: DocumentSource) -> SplitRule:
    if validation_of(source) is not None:
        return SplitRule.OWN
    is_one = getattr(source, "num_documents", None) == 1 and not has_completions(source)
    return SplitRule.TAILS if is_one else SplitRule.DOCUMENTS


def carry_out(
    plan: Preparation,
    progress: Progress | None = None,
    *,
    workers: int | None = None,
    source: DocumentSource | None = None,
) -> PreparedData:
    """Give the tokens that are planned, found or made; the rest of what is told is as for `prepare`.

    What is made is held to its ``source``: raises `WorkError` where the data changed meanwhile.
    """
    return _Work(plan, progress, workers, source).get()


class _Work:
    """A preparation being done: finds what is there, makes what is not, and tells how far it is."""

    def __init__(
        self, plan: Preparation, progress: Progress | None, workers: int | None, source: DocumentSource | None
    ) -> None:
        self.plan, self.source, self.progress = plan, source, progress or (lambda reached: None)
        self.workers = workers or cores()
        self.began = time.perf_counter()
        self.total = sum(task.part.size for task in plan.tasks)

    def get(self) -> PreparedData:
        """Give the tokens, made by whom and when ever."""
        folder, made_from = self.plan.folder, self.plan.made_from
        prepared, damage = look_at(folder, made_from)  # without the lock, which a folder that is only read refuses
        if prepared is not None and not damage:
            return prepared
        with locked(lock_of(folder)) as lock:
            prepared, damage = look_at(folder, made_from)  # by the process that held the lock before
            if prepared is None or damage.reason:
                if damage:
                    _log.warning("the tokens in %s are damaged (%s) and are made again", folder, damage)
                return self.make(lock)
            return self.repair(prepared, damage, lock) if damage else prepared

    def make(self, lock: int) -> PreparedData:
        """Make the tokens, or what is not finished of them."""
        if self.plan.is_merged():
            return self.plan.publish()
        finished = self.plan.finished()
        shards = sum(part.shards for part in finished)
        what = f"going on after {shards} finished shards with" if shards else "preparing"
        _log.info("%s the tokens of %s", what, self.plan.name)
        try:
            self.plan.make_parts(dict(enumerate(finished)), lambda to_do: self.make_parts(to_do, lock))
            self.require_unchanged()
            return self.plan.merge(time.perf_counter() - self.began, finished)
        except StlmError as error:
            if isinstance(error, UsageError) or not self.plan.has_shards:
                self.plan.discard()
            self.plan.clear()
            if self.plan.has_shards:
                with contextlib.suppress(StlmError):  # of data that cannot be read, which is what is being told
                    self.require_unchanged()
            raise

    def require_unchanged(self) -> None:
        """Raise `WorkError` where the data are not what they were, and what was made of them is thrown away."""
        if self.source is not None and not self.plan.is_of(self.source):
            self.plan.discard()
            raise WorkError(
                f"the data of {self.plan.name} changed while they were prepared: nothing is kept; prepare them anew "
                "when nobody writes to them"
            )

    def make_parts(self, to_do: Sequence[tuple[int, Finished]], lock: int) -> None:
        """Make parts, in other processes where that is worth it."""
        told, fast = _Account(self), self.plan.fast()
        workers = min(self.workers, len(to_do))
        if workers > 1 and sum(self.plan.tasks[index].part.size for index, _ in to_do) > _WORTH_A_PROCESS_BYTES:
            try:
                threads = max(1, cores() // workers)
                make_in_workers(self.plan, fast, to_do, workers, told, lock=lock, threads=threads)
                return
            except UnfitError as error:
                _log.info("one process prepares it, because the work cannot be given to others: %s", error)
        encoder = Encoder(self.plan.tokenizer, fast, threads=self.workers)
        for index, done in to_do:
            self.plan.make(index, lambda more, index=index: told(index, more), encoder=encoder, finished=done)

    def repair(self, prepared: PreparedData, damage: Damage, lock: int) -> PreparedData:
        """Make the damaged files of finished tokens again, which must come out as they were."""
        for file in damage.files:
            _log.warning("%s is not what was written: it is made again", prepared.folder / file)
        parts = sorted({int(file.split("-")[1]) for file in damage.files})
        said = {name: sha256 for shard in prepared.manifest["shards"] for name, sha256 in files_of(shard).items()}
        self.plan.discard()
        try:
            self.plan.make_parts(dict.fromkeys(parts, Finished()), lambda to_do: self.make_parts(to_do, lock))
            made = {n: sha for index in parts for n, sha in self.plan.files_made(index).items()}
            for file in damage.files:
                if made.get(file) != said[file]:
                    raise WorkError(
                        f"`{prepared.folder / file}` is damaged, and what the data give now is not what it was"
                    )
                with reported_as(f"cannot write `{prepared.folder / file}`"):
                    if (prepared.folder / file).is_dir():  # a file cannot take its place
                        shutil.rmtree(prepared.folder / file)
                    (self.plan.work / file).replace(prepared.folder / file)
        finally:
            self.plan.discard()
        return prepared


class _Account:
    """Adds up what parts tell, for those who want to know how far it all is."""

    def __init__(self, work: _Work) -> None:
        self.work = work
        self.began, self.documents, self.bytes, self.tokens = time.perf_counter(), 0, 0, 0
        self.left = {index: task.part.size for index, task in enumerate(work.plan.tasks)}
        self.read = 0

    def __call__(self, index: int, done: Done) -> None:
        self.documents += done.documents
        self.bytes += done.bytes
        self.tokens += done.tokens
        read = min(done.bytes, self.left[index])  # a part may hold more than it was said to
        self.left[index] -= read
        self.read += read
        fraction = self.read / self.work.total if self.work.total else None
        seconds = time.perf_counter() - self.began
        self.work.progress(Reached(self.documents, self.bytes, self.tokens, seconds, fraction))
