"""The folder of a run: where everything stands in it, and who may write there."""

import json
import logging
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from stlm.data.storage import locked, reported_as

_log = logging.getLogger(__name__)


class RunFolder:
    """The places of one run. Checkpoints and evaluations may live elsewhere, where the spec's paths are absolute."""

    def __init__(self, root: Path, paths: Any) -> None:
        self.root = Path(root)
        self.checkpoints = self._within(paths.checkpoint_dir)
        self.evals = self._within(paths.eval_dir)

    def _within(self, folder: str) -> Path:
        return Path(folder) / self.root.name if Path(folder).is_absolute() else self.root / folder

    @classmethod
    def create(cls, run_name: str, paths: Any) -> "RunFolder":
        """Make the folder of a new run: ``<run_name>``, or ``<run_name>-2`` and so on where that name is taken."""
        parent = Path(paths.output_dir)
        number = 1
        with reported_as(f"cannot make a folder for the run in {parent}"):
            parent.mkdir(parents=True, exist_ok=True)
            while True:
                folder = cls(parent / (run_name if number == 1 else f"{run_name}-{number}"), paths)
                number += 1
                if folder.checkpoints.exists() or folder.evals.exists():
                    continue  # an absolute path, in which another run of this name has its place
                try:
                    folder.root.mkdir()
                except FileExistsError:
                    continue
                folder.checkpoints.mkdir(parents=True)
                folder.evals.mkdir(parents=True, exist_ok=True)
                return folder

    @property
    def spec(self) -> Path:
        """The canonical spec, in which every value is said."""
        return self.root / "spec.yaml"

    @property
    def source(self) -> Path:
        """The spec as it was written, parents and overrides merged in and defaults not."""
        return self.root / "source.yaml"

    @property
    def lock(self) -> Path:
        """Versions, fingerprints and the command that made the run."""
        return self.root / "lock.json"

    @property
    def metrics(self) -> Path:
        """The numbers of the run, a JSON line each."""
        return self.root / "metrics.jsonl"

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read the numbers of the run; a last line that was being written when the machine stopped is left out."""
        if not self.metrics.exists():
            return []
        records = []
        for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                _log.warning("%s holds a line that is not JSON; it is left out", self.metrics)
        return [record for record in records if isinstance(record, dict)]

    def held(self) -> AbstractContextManager[None]:
        """Keep other processes from training in this folder. Raises `UsageError` where one already does."""
        return locked(self.root / ".lock", busy=f"another process is training in {self.root}")

    def remove(self) -> None:
        """Remove the folder of a run that could not begin, and its places elsewhere."""
        for place in (self.root, self.checkpoints, self.evals):
            shutil.rmtree(place, ignore_errors=True)
