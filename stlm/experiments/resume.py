"""What a run goes on with: its latest checkpoint, its own tokenizer, and the text that it began with."""

import logging
from pathlib import Path

from stlm.compiler import Program
from stlm.data.preparation.mixture import Prepared, open_tokens
from stlm.registry.loading import load_spec
from stlm.spec import Spec, StlmError, UsageError
from stlm.training.checkpoint import Checkpoint, latest_checkpoint, were_written
from stlm.training.folder import RunFolder
from stlm.training.lock import known_digests, read_lock, require_same

_log = logging.getLogger(__name__)


def latest_of(folder: RunFolder) -> Checkpoint | None:
    """Find the latest checkpoint that is whole and of this run."""
    return latest_checkpoint(folder.checkpoints, known_digests(read_lock(folder.lock)))


def has_saved(folder: RunFolder) -> bool:
    """Whether a run has written checkpoints, be they lost by now or not."""
    return bool((read_lock(folder.lock) or {}).get("saved")) or were_written(folder.checkpoints)


def checkpoint_to_go_on(folder: RunFolder) -> Checkpoint | None:
    """Find the checkpoint that a run goes on from; None where it was stopped before its first, and begins anew.

    Raises `UsageError` where it wrote checkpoints and none can be used: what it has done is not thrown away.
    """
    checkpoint = latest_of(folder)
    if checkpoint is None and has_saved(folder):
        raise UsageError(
            f"the run in {folder.root} has saved checkpoints, but none that can be used is in {folder.checkpoints}; "
            "put them back (or set `general.paths.checkpoint_dir` to where they are), or begin a new run (without "
            "`--resume`)"
        )
    return checkpoint


def refuse_no_steps(spec: Spec, folder: RunFolder, checkpoint: Checkpoint | None) -> None:
    """Raise `UsageError` where a run has already done more steps than a spec says."""
    last = getattr(spec.trainer, "max_iters", None)
    if checkpoint is not None and last is not None and checkpoint.step > last:
        raise UsageError(
            f"the run in {folder.root} has done {checkpoint.step:,} steps, and `trainer.max_iters` is {last:,}; a run "
            "goes on to a larger number, or begins anew (without `--resume`)"
        )


def take_own_tokenizer(program: Program, folder: RunFolder, checkpoint: Checkpoint | None) -> None:
    """Let a program have the tokenizer that its run keeps: the files that it came from may be gone, or elsewhere."""
    declared = program.spec.model.tokenizer
    same = load_spec(folder.spec, registry=program.spec.registry).model.tokenizer == declared
    if same and checkpoint is not None and checkpoint.tokenizer.is_dir():
        program.tokenizer = declared.load(checkpoint.tokenizer)


def require_own_text(spec: Spec, folder: RunFolder) -> Prepared | None:
    """Raise `UsageError` where the text of a run is not what it was; nothing is prepared.

    Where there is no text to look at, as of a path that is relative to another folder, return the tokens that the run
    was trained on, if they still are where they were. A data set that is another by the spec, which the user allowed,
    is taken as it is.
    """
    dataset = spec.trainer.dataset
    if load_spec(folder.spec, registry=spec.registry).trainer.dataset != dataset:
        return None
    try:
        fingerprint = dataset.build(spec).fingerprint()
    except StlmError:
        kept = own_tokens(folder)
        if kept is None:
            raise
        _log.info("the data set `%s` is not at hand here; its tokens in %s are", dataset.selector, kept.folder)
        return kept
    require_same(folder.lock, "data", fingerprint, f"the data set `{dataset.selector}`", "text")
    return None


def own_tokens(folder: RunFolder) -> Prepared | None:
    """Open the tokens that a run was trained on; None where they are no longer what its lock says."""
    lock = read_lock(folder.lock) or {}
    place, fingerprint = lock.get("data_folder"), lock.get("fingerprints", {}).get("data")
    return open_tokens(Path(place), {"fingerprint": fingerprint}) if isinstance(place, str) else None
