"""Find the run that a spec goes on with, among those that are there."""

from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from stlm.experiments.resume import has_saved
from stlm.registry.loading import load_spec
from stlm.spec import Spec, UsageError
from stlm.spec.canonical import differences_in_meaning
from stlm.spec.suggest import nearest
from stlm.training.folder import RunFolder, number_of
from stlm.training.lock import read_lock


@attrs.frozen
class Earlier:
    """A run that is there: its folder and its lock."""

    folder: Path
    lock: dict[str, Any]

    @property
    def age(self) -> tuple[int, str]:
        """What orders runs from the first to the last: the number behind their name, for clocks jump; then the time."""
        number = number_of(self.folder.name, str(self.lock.get("run_name")))
        return number, self.lock["sessions"][0]["started"]


def earlier_runs(output_dir: Path) -> Iterator[Earlier]:
    """Yield the runs in a folder; what is not a run is passed over."""
    for path in _locks(output_dir):
        lock = read_lock(path)
        if lock is not None:
            yield Earlier(path.parent, lock)


def _locks(output_dir: Path) -> list[Path]:
    return sorted(path for path in output_dir.glob("*/lock.json") if not path.parent.name.startswith("."))


def same_run(spec: Spec) -> RunFolder | None:
    """Return the folder of the latest run of the same digest; None where there is none."""
    paths = spec.general.paths
    same = [run for run in earlier_runs(Path(paths.output_dir)) if run.lock["digest"] == spec.digest]
    return RunFolder(max(same, key=lambda run: run.age).folder, paths) if same else None


def namesake(spec: Spec, run_name: str, allow_changed: Sequence[str] = ()) -> RunFolder | None:
    """Return the folder of the latest run of a name, where there is none of the same digest; None where none is there.

    Raises `UsageError` with the keys in which its spec differs, unless each is in ``allow_changed``, and where one of
    the same name has a damaged lock.
    """
    paths = spec.general.paths
    for path in _locks(Path(paths.output_dir)):
        if number_of(path.parent.name, run_name) and read_lock(path) is None:
            raise UsageError(_damaged(path))
    namesakes = [run for run in earlier_runs(Path(paths.output_dir)) if run.lock.get("run_name") == run_name]
    if not namesakes:
        return None
    return checked(spec, max(namesakes, key=lambda run: run.age).folder, allow_changed)


def checked(spec: Spec, folder: Path, allow_changed: Sequence[str] = ()) -> RunFolder:
    """Return the folder of a run that a spec may go on with. Raises `UsageError` as `namesake` does."""
    if not (folder / "lock.json").exists():
        raise UsageError(f"`{folder}` is not the folder of a run that can go on: it has no `lock.json`")
    if read_lock(folder / "lock.json") is None:
        raise UsageError(_damaged(folder / "lock.json"))
    found = RunFolder(folder, spec.general.paths)
    before = load_spec(found.spec, registry=spec.registry)
    different = {key: (old, new) for key, old, new in differences_in_meaning(before, spec)}
    _require_keys(allow_changed, (before.to_plain(), spec.to_plain()))
    if "trainer.init_from" in different and has_saved(found):
        was, now = different["trainer.init_from"]
        raise UsageError(
            f"the run in {folder} goes on with its checkpoint's weights, so `trainer.init_from`, which was {was!r} and "
            f"is {now!r}, would mean nothing; to start from other weights, begin a new run (without `--resume`)"
        )
    changed = [
        (key, *values)
        for key, values in different.items()
        if key not in allow_changed and not _follows(spec, key, different)
    ]
    if changed:
        listed = "; ".join(f"`{key}` was {old!r} and is {new!r}" for key, old, new in changed)
        allow = " ".join(f"--allow-changed {key}" for key, _, _ in changed)
        raise UsageError(f"the run in {folder} is of another spec: {listed}. To go on all the same: {allow}")
    return found


def _require_keys(allowed: Sequence[str], specs: Iterable[dict[str, Any]]) -> None:
    """Refuse a key that is of neither of two specs: it was meant to allow another."""
    known = {key for spec in specs for key in _keys(spec)}
    for key in allowed:
        if key not in known:
            raise UsageError("; ".join((f"`--allow-changed {key}`: there is no such key", *nearest(key, known))))


def _keys(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each plain value; mappings in a list count by their number."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        value = {str(number): item for number, item in enumerate(value)}
    if not isinstance(value, dict):
        yield path
        return
    for key, inner in value.items():
        yield from _keys(inner, f"{path}.{key}" if path else key)


def _damaged(path: Path) -> str:
    return (
        f"`{path}` is damaged, so the run in that folder cannot go on; put the file back, or begin a new run (without "
        "`--resume`)"
    )


def _follows(spec: Spec, key: str, different: Container[str]) -> bool:
    """Whether a value only differs because one differs from which it was worked out."""
    return any(source in different for source in getattr(spec.provenance.origin_of(key), "sources", ()))
