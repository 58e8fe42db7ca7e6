"""What a run was made with: versions, fingerprints and commands, for telling runs apart and repeating them."""

import importlib.metadata
import platform
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from stlm.data.storage import read_json, write_json
from stlm.registry.loading import load_spec
from stlm.spec.canonical import differences_in_meaning
from stlm.spec.errors import StlmError, UsageError, WorkError


def versions(components: Iterable[Any]) -> dict[str, Any]:
    """Return the versions of all that computes, of the packages that brought the ``components`` of a report too."""
    return {
        "stlm": importlib.metadata.version("stlm"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "plugins": {c.plugin: c.version for c in components},
    }


def session(program: Any) -> dict[str, Any]:
    """Describe this process: when, by which command, on what and how, with which versions."""
    trainer = program.spec.trainer
    how = {"precision": program.precision, "processes": program.processes.count, "parallel": program.parallel}
    return {
        "digest": program.report.digest,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "directory": str(Path.cwd()),
        "device": str(program.device),
        "platform": platform.platform(),
        **({} if trainer is None else how | {"compile": getattr(trainer, "compile", False)}),
        **versions(program.report.components),
    }


def make_lock(program: Any, data: Any, initial: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the content of ``lock.json`` for a new run.

    ``initial`` says of the weights that it starts from in which ``folder`` they are, and has their ``fingerprint``.
    """
    fingerprints = {"data": data.fingerprint, "tokenizer": program.tokenizer.fingerprint}
    return {
        "run_name": program.report.run_name,
        "digest": program.report.digest,
        "data_folder": str(data.folder.absolute()),
        **({} if initial is None else {"init_from": initial["folder"]}),
        "fingerprints": fingerprints | ({} if initial is None else {"init_from": initial["fingerprint"]}),
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


def lock_named(path: Path) -> Path:
    """Return the lock that a user names by its path, or by the folder of its run."""
    return path / "lock.json" if path.is_dir() else path


def require_lock(path: Path) -> dict[str, Any]:
    """Read the lock that a user names. Raises `UsageError` where there is none, or it is not one."""
    lock = read_lock(path)
    if lock is None:
        raise UsageError(f"`{path}` is {'not the `lock.json` of a run' if path.exists() else 'not there'}")
    return lock


def refuse_drift(path: Path, **now: Any) -> None:
    """Raise `UsageError` where a run that begins would not be that of the lock at ``path``: all that differs is named.

    ``now`` has its ``spec``, its ``versions``, its ``device``, ``precision`` and number of ``processes``, and
    fingerprints by their names in the lock; what is not known yet is left out. A run that went on under another spec
    cannot be repeated by one.
    """
    lock = require_lock(path)
    digests = [one.get("digest", lock["digest"]) for one in lock["sessions"]]
    if len(first := dict.fromkeys(digests)) > 1:
        listed = ", ".join(f"session {digests.index(digest) + 1} was of {digest}" for digest in first)
        raise UsageError(f"the run of `{path}` cannot be repeated, for it went on under another spec: {listed}")
    found = _drift(path, lock, now)
    drifted = [f"{what} was {_said(was)} and is {_said(new)}" for what, was, new in found if was != new]
    if drifted:
        raise UsageError(f"this is not what `{path}` was made with: {'; '.join(drifted)}")


def _drift(path: Path, lock: dict[str, Any], now: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield what a lock says of each thing, in all sessions of its run, and what is so now."""
    here = now.get("versions", {})
    for what in ("stlm", "python", "torch") if here else ():
        for was in dict.fromkeys(str(one.get(what)) for one in lock["sessions"]):
            yield f"the version of {what}", was, here[what]
    plugins = [(name, version) for one in lock["sessions"] for name, version in dict(one.get("plugins", {})).items()]
    for name, was in dict.fromkeys((*plugins, *((n, None) for n in here.get("plugins", {}) if n not in dict(plugins)))):
        if here and name != "stlm":
            yield f"the version of plugin {name}", was, here["plugins"].get(name)
    for key, what in {"device": "device", "precision": "precision", "processes": "number of processes"}.items():
        said = (str(one[key]) for one in lock["sessions"] if key in one and key in now)
        for was in dict.fromkeys(value.partition(":")[0] for value in said):  # one GPU is as good as another
            yield f"the {what}", was, str(now[key])
    if "spec" in now:
        yield from _spec_drift(path, lock, now["spec"])
    kept = {"data": "the data set", "tokenizer": "the tokenizer", "init_from": "what `init_from` names"}
    for key, what in kept.items():
        if key in now:
            yield f"the fingerprint of {what}", lock["fingerprints"].get(key), now[key]


def _spec_drift(path: Path, lock: dict[str, Any], spec: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the keys that are not what they were, by the spec that lies beside the lock; the digests without it."""
    try:
        before = load_spec(path.with_name("spec.yaml"), registry=spec.registry)
    except StlmError:
        before = None
    if before is None or before.digest != lock["digest"]:
        yield "the digest of the spec", lock["digest"], spec.digest
    else:
        yield from ((f"`{key}`", old, new) for key, old, new in differences_in_meaning(before, spec))


def _said(value: Any) -> Any:
    return "none" if value is None else value


def require_same(path: Path, key: str, fingerprint: str, what: str, part: str) -> None:
    """Raise `UsageError` where what a run reads is not what it was when it began; ``key`` is its name in the lock.

    ``what`` it is, and which ``part`` of it is to be put back, are said in the message.
    """
    lock = read_lock(path)
    if lock is None or fingerprint == lock["fingerprints"].get(key):
        return
    began_in = lock["sessions"][0].get("directory")
    where = "" if began_in in (None, str(Path.cwd())) else f" (in the directory `{began_in}`)"
    raise UsageError(
        f"{what} changed since the run in {path.parent} began{where}; put the {part} back as it was to go on, or "
        "begin a new run (without `--resume`)"
    )


def extended_lock(path: Path, program: Any, data: Any, initial: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a run's lock with the note that it goes on, on ``data``; ``initial`` as in `make_lock`.

    Raises `UsageError` where its tokenizer is another, for then its weights would mean nothing.
    """
    lock = read_lock(path)
    if lock is None:
        raise WorkError(f"{path} is not the lock of a run")
    now = make_lock(program, data, initial)
    if now["fingerprints"]["tokenizer"] != lock["fingerprints"].get("tokenizer"):
        raise UsageError(
            f"the tokenizer `{program.spec.model.tokenizer.selector}` is not that of the run in {path.parent}, whose "
            "weights mean other tokens; begin a new run (without `--resume`)"
        )
    return {
        **lock,
        **now,
        "run_name": lock["run_name"],
        "fingerprints": lock["fingerprints"] | now["fingerprints"],
        "sessions": [*lock["sessions"], *now["sessions"]],
    }
