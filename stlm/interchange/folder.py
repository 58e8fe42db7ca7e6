"""A folder that a user named, written whole or not at all, and never over something that is there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stlm.data.storage import lock_of, locked, new_folder, reported_as
from stlm.spec.errors import UsageError, WorkError


def free_place(folder: str | Path) -> Path:
    """Return the absolute path of a folder that can be written: it is not there, or empty. Raises `UsageError`."""
    if "\0" in str(folder):
        raise UsageError(f"{str(folder)!r} is no name of a folder")
    place = Path(os.path.expanduser(folder))  # which leaves a user that nobody is, where pathlib raises
    with reported_as(f"cannot look at `{folder}`"):
        if any(part.is_symlink() and not part.exists() for part in (place, *place.parents)):
            raise UsageError(f"`{folder}` is a link that leads nowhere")
        target = place.resolve()
        if target.exists() and not target.is_dir():
            raise UsageError(f"`{folder}` is a file, not a folder")
        if target.is_dir() and any(target.iterdir()):
            raise UsageError(f"`{folder}` is not empty; name a folder that is not there yet")
        if target.is_dir():
            _require_replaceable(folder, target)
    return target


def _require_replaceable(folder: str | Path, target: Path) -> None:
    """Refuse an empty folder in whose place no other can be put, or from under whom it must not be taken."""
    if target.samefile("."):
        raise UsageError(f"`{folder}` is the folder in which you are; name one that is not there yet")
    if target.is_mount():
        raise UsageError(f"`{folder}` is a mount point; name a folder in it that is not there yet")


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Give a folder to write into, which becomes ``target`` when the block ends well; else nothing is left."""
    with reported_as(f"cannot write `{target}`"):
        target.parent.mkdir(parents=True, exist_ok=True)
    lock = lock_of(target)
    with locked(lock, busy=f"another process is writing `{target}`"):
        try:
            free_place(target)  # another process may have been faster
            with new_folder(target, replaces=False) as temporary, _named(temporary, target):
                yield temporary
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def _named(temporary: Path, target: Path) -> Iterator[None]:
    """Where the disk refuses, name the folder that the user did, and not the one that is written for it."""
    try:
        yield
    except WorkError as error:
        refused = error.__cause__
        if not isinstance(refused, OSError) or str(temporary) not in str(error):
            raise
        raise WorkError(f"cannot write `{target}`: {refused.strerror or refused}") from refused
