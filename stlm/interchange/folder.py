"""A folder that a user named, written whole or not at all, and never over something that is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stlm.data.storage import lock_of, locked, new_folder, reported_as
from stlm.spec.errors import UsageError


def free_place(folder: str | Path) -> Path:
    """Return the absolute path of a folder that can be written: it is not there, or empty. Raises `UsageError`."""
    if "\0" in str(folder):
        raise UsageError(f"{str(folder)!r} is no name of a folder")
    place = Path(folder).expanduser()
    with reported_as(f"cannot look at `{folder}`"):
        target = place.resolve()
        if target.exists() and not target.is_dir():
            raise UsageError(f"`{folder}` is a file, not a folder")
        if target.is_dir() and any(target.iterdir()):
            raise UsageError(f"`{folder}` is not empty; name a folder that is not there yet")
        if target.is_symlink():
            raise UsageError(f"`{folder}` is a link that leads nowhere")
    return target


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Give a folder to write into, which becomes ``target`` when the block ends well; else nothing is left."""
    with reported_as(f"cannot write `{target}`"):
        target.parent.mkdir(parents=True, exist_ok=True)
    lock = lock_of(target)
    with locked(lock, busy=f"another process is writing `{target}`"):
        try:
            free_place(target)  # another process may have been faster
            with new_folder(target) as temporary:
                yield temporary
        finally:
            lock.unlink(missing_ok=True)
