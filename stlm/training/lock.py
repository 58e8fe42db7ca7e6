"""What a run was made with: versions, fingerprints and commands, for telling runs apart and repeating them."""

import importlib.metadata
import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from stlm.spec.errors import UsageError, WorkError
from stlm.training.files import write_json


def session(program: Any, device: torch.device) -> dict[str, Any]:
    """Describe this process: when, by which command, on what, with which versions."""
    plugins = {c.plugin: c.version for c in program.report.components}
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "directory": str(Path.cwd()),
        "device": str(device),
        "platform": platform.platform(),
        "stlm": importlib.metadata.version("stlm"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "plugins": plugins,
    }


def make_lock(program: Any, data: Any, device: torch.device) -> dict[str, Any]:
    """Return the content of ``lock.json`` for a new run."""
    return {
        "run_name": program.report.run_name,
        "digest": program.report.digest,
        "data_folder": str(data.folder.absolute()),
        "fingerprints": {"data": data.fingerprint, "tokenizer": program.tokenizer.fingerprint},
        "sessions": [session(program, device)],
    }


def read_lock(path: Path) -> dict[str, Any] | None:
    """Read a ``lock.json``; None where there is none, or it is not one."""
    try:
        lock = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return lock if isinstance(lock, dict) and isinstance(lock.get("digest"), str) else None


def extend_lock(path: Path, program: Any, data: Any, device: torch.device) -> None:
    """Note in a run's lock that it goes on. Raises `UsageError` where data or tokenizer are not what they were."""
    lock = read_lock(path)
    if lock is None:
        raise WorkError(f"{path} is not the lock of a run")
    now = make_lock(program, data, device)
    for what, before in lock["fingerprints"].items():
        if now["fingerprints"].get(what) != before:
            raise UsageError(
                f"the {what} of {path.parent} changed since it began: {before} has become {now['fingerprints'][what]}"
            )
    write_json(path, {**lock, "digest": now["digest"], "sessions": [*lock["sessions"], *now["sessions"]]})
