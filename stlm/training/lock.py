"""What a run was made with: versions, fingerprints and commands, for telling runs apart and repeating them."""

import importlib.metadata
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from stlm.data.storage import read_json
from stlm.spec.errors import UsageError, WorkError


def session(program: Any) -> dict[str, Any]:
    """Describe this process: when, by which command, on what, with which versions."""
    plugins = {c.plugin: c.version for c in program.report.components}
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "directory": str(Path.cwd()),
        "device": str(program.device),
        "platform": platform.platform(),
        "stlm": importlib.metadata.version("stlm"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "plugins": plugins,
    }


def make_lock(program: Any, data: Any) -> dict[str, Any]:
    """Return the content of ``lock.json`` for a new run."""
    return {
        "run_name": program.report.run_name,
        "digest": program.report.digest,
        "data_folder": str(data.folder.absolute()),
        "fingerprints": {"data": data.fingerprint, "tokenizer": program.tokenizer.fingerprint},
        "sessions": [session(program)],
    }


def read_lock(path: Path) -> dict[str, Any] | None:
    """Read a ``lock.json``; None where there is none, or it is not one."""
    lock = read_json(path)
    return lock if isinstance(lock, dict) and isinstance(lock.get("digest"), str) else None


def extended_lock(path: Path, program: Any, data: Any) -> dict[str, Any]:
    """Return a run's lock with the note that it goes on. Raises `UsageError` where data or tokenizer have changed."""
    lock = read_lock(path)
    if lock is None:
        raise WorkError(f"{path} is not the lock of a run")
    now = make_lock(program, data)
    for what, before in lock["fingerprints"].items():
        if now["fingerprints"].get(what) != before:
            raise UsageError(
                f"the {what} of {path.parent} changed since it began: {before} has become {now['fingerprints'][what]}"
            )
    return {**lock, "digest": now["digest"], "sessions": [*lock["sessions"], *now["sessions"]]}
