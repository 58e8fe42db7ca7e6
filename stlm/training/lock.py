"""What a run was made with: versions, fingerprints and commands, for telling runs apart and repeating them."""

import importlib.metadata
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from stlm.data.storage import read_json, write_json
from stlm.spec.errors import UsageError, WorkError


def session(program: Any) -> dict[str, Any]:
    """Describe this process: when, by which command, on what, with which versions."""
    plugins = {c.plugin: c.version for c in program.report.components}
    return {
        "digest": program.report.digest,
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


def make_imported_lock(program: Any, name: str, tokenizer: Any, imported: dict[str, Any]) -> dict[str, Any]:
    """Return the content of ``lock.json`` for a run that was not trained here; ``imported`` says where it is from."""
    return {
        "run_name": name,
        "digest": program.report.digest,
        "fingerprints": {} if tokenizer is None else {"tokenizer": tokenizer.fingerprint},
        "imported": imported,
        "saved": True,
        "sessions": [session(program)],
    }


def read_lock(path: Path) -> dict[str, Any] | None:
    """Read a ``lock.json``; None where there is none, or it is not one."""
    lock = read_json(path)
    kinds = {"digest": str, "fingerprints": dict, "sessions": list}
    if not isinstance(lock, dict) or not all(isinstance(lock.get(key), kind) for key, kind in kinds.items()):
        return None
    sessions = lock["sessions"]
    texts = [lock["fingerprints"].get("data", "")]  # a run that was imported was trained on nobody knows what
    for one in sessions:
        texts += [one.get("started"), one.get("digest", "")] if isinstance(one, dict) else [None]
    return lock if sessions and all(isinstance(text, str) for text in texts) else None


def known_digests(lock: dict[str, Any] | None) -> frozenset[str] | None:
    """Return the digests of the specs that a run was trained with; None, which means any, where it has no lock."""
    if lock is None:
        return None
    return frozenset([lock["digest"], *(one["digest"] for one in lock["sessions"] if "digest" in one)])


def note_saved(path: Path) -> None:
    """Note in a run's lock that checkpoints were written, so that a run that lost them is told from one without."""
    lock = read_lock(path)
    if lock is not None and not lock.get("saved"):
        write_json(path, {**lock, "saved": True})


def refuse_other_data(path: Path, spec: Any) -> None:
    """Raise `UsageError` where the data set of a run is not what it was when the run began; nothing is prepared."""
    lock = read_lock(path)
    if lock is not None and spec.trainer.dataset.build(spec).fingerprint() != lock["fingerprints"].get("data"):
        raise UsageError(_changed("data set", spec.trainer.dataset.selector, path.parent))


def _changed(what: str, name: str, folder: Path) -> str:
    return (
        f"the {what} `{name}` changed since the run in {folder} began; put the text back as it was to go on, or begin "
        "a new run (without `--resume`)"
    )


def extended_lock(path: Path, program: Any, data: Any) -> dict[str, Any]:
    """Return a run's lock with the note that it goes on. Raises `UsageError` where data or tokenizer have changed."""
    lock = read_lock(path)
    if lock is None:
        raise WorkError(f"{path} is not the lock of a run")
    now = make_lock(program, data)
    for what, name in (("data", program.spec.trainer.dataset), ("tokenizer", program.spec.model.tokenizer)):
        if now["fingerprints"][what] != lock["fingerprints"].get(what):
            raise UsageError(_changed("data set" if what == "data" else what, name.selector, path.parent))
    return {**lock, "digest": now["digest"], "sessions": [*lock["sessions"], *now["sessions"]]}
