"""Files that appear whole or not at all: written under a temporary name, flushed to the disk, then renamed."""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from stlm.spec.errors import UsageError, WorkError

_log = logging.getLogger(__name__)
_PATIENCE_SECONDS = 1.0
_SEAL = "content_sha256"


@contextlib.contextmanager
def reported_as(what: str) -> Iterator[None]:
    """Turn the operating system's errors into a `WorkError` that says ``what`` could not be done."""
    try:
        yield
    except OSError as error:
        raise WorkError(f"{what}: {error.strerror or error}") from error


@contextlib.contextmanager
def locked(file: Path, *, busy: str | None = None) -> Iterator[int]:
    """Hold the one lock that ``file`` is among all processes of this machine.

    Others wait, or are told ``busy`` by a `UsageError`. The file stays (a removed one could be held twice); the system
    lets go of the lock when its process ends, however it does. Given is the descriptor that holds it: a child process
    which inherits it holds the lock too, until both have ended.
    """
    with reported_as(f"cannot write `{file}`"):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = open(file, "w", opener=_at_once)  # noqa: SIM115 - closed below
    with handle:
        try:
            _take(handle, file, busy)
        except OSError:
            _log.warning("the file system of %s keeps no locks: start no second process there", file.parent)
        yield handle.fileno()


def _at_once(path: str, flags: int) -> int:
    """Open a file, and no pipe that somebody would have to read from first: that fails."""
    return os.open(path, flags | os.O_NONBLOCK, 0o666)


def _take(handle: TextIO, file: Path, busy: str | None) -> None:
    """Take a lock; whoever has to wait for it is told so after a second."""
    patience = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if busy:
                raise UsageError(busy) from None
            if time.monotonic() >= patience:
                break
        time.sleep(0.05)
    _log.info("waiting for another process that makes %s", file.with_name(file.name[1:]).with_suffix(""))
    fcntl.flock(handle, fcntl.LOCK_EX)


def lock_of(target: Path) -> Path:
    """Name the lock file beside a target that is replaced as a whole."""
    return target.parent / f".{target.name}.lock"


@contextlib.contextmanager
def new_folder(target: Path, *, replaces: bool = True) -> Iterator[Path]:
    """Give a temporary folder beside ``target`` to write into; on success it takes the place of ``target``.

    All that is in it is flushed, at any depth. Whatever fails, the temporary folder goes, and what stood at ``target``
    stays. The caller holds a lock, so what a killed process left there can be cleared away. Unless it ``replaces``, it
    takes only the place of an empty folder; raises `UsageError` where something has been put there meanwhile.
    """
    with reported_as(f"cannot write `{target}`"):
        target.parent.mkdir(parents=True, exist_ok=True)
        for stale in target.parent.glob(f".{target.name}.*.tmp"):
            shutil.rmtree(stale, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
        try:
            yield temporary
            for path in temporary.rglob("*"):
                flush(path)
            flush(temporary)
            temporary.chmod(0o777 & ~umask())  # mkdtemp's are private
            if replaces and target.exists():
                shutil.rmtree(target)
            _rename(temporary, target)
            flush(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _rename(folder: Path, target: Path) -> None:
    """Rename a folder, over an empty one at most, which the system sees to."""
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise UsageError(f"`{target}` is not empty: something was put there meanwhile, which is left alone") from error


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file that appears under its name complete, or not at all. Raises `WorkError` where the disk refuses."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with reported_as(f"cannot write `{path}`"):
        try:
            beside.write_bytes(content.encode() if isinstance(content, str) else content)
            flush(beside)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        flush(path.parent)


def write_where_told(path: Path, content: str | bytes) -> None:
    """Write to what a user has named: a file as `write_file` does, the target of a link, a device or pipe as it is."""
    with reported_as(f"cannot write `{path}`"):
        place = path.resolve() if path.is_symlink() else path
        is_no_file = place.exists() and not place.is_file()
        if is_no_file:
            place.write_bytes(content.encode() if isinstance(content, str) else content)
    if not is_no_file:
        write_file(place, content)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document that a person can read, as `write_file` does."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_file(path, text.encode("utf-8", "backslashreplace"))  # a surrogate (of a file's name) becomes JSON's `\udc80`


def read_json(path: Path) -> Any:
    """Read a JSON document; None where there is none, or none that is whole."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return None
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """Add to a JSON object the digest of all else in it, by which `read_sealed` sees that it is what was written."""
    content = {key: each for key, each in value.items() if key != _SEAL}
    return content | {_SEAL: digest_of(content)}


def read_sealed(path: Path) -> dict[str, Any] | None:
    """Read a JSON object that was `sealed`; None where there is none, or it was changed since."""
    value = read_json(path)
    return value if isinstance(value, dict) and value == sealed(value) else None


def file_sha256(path: Path) -> str:
    """Hash the contents of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(*parts: object) -> str:
    """Hash a description (anything JSON can say) to 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def slug(name: str) -> str:
    """Make a file name of a component's name or a path: its last part, in harmless characters."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", Path(name).name).strip("-.")[:40] or "data"


def flush(path: Path) -> None:
    """Make a file's content, or the names in a folder, last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def umask() -> int:
    """Give the process's mask of permissions."""
    current = os.umask(0o022)
    os.umask(current)
    return current
