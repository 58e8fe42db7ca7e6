"""The folder of a run: where everything stands in it, and who may write there."""

import errno
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from stlm.data.storage import locked, reported_as, umask, write_file
from stlm.spec.errors import UsageError

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
    def create(cls, run_name: str, paths: Any, files: Mapping[str, str] | None = None) -> "RunFolder":
        """Make the folder of a new run, ``<run_name>`` or ``<run_name>-N`` with the next number, and ``files`` in it.

        The folder has its name when all is in it, or never: what is killed or fails on the way is no run. Raises
        `UsageError` where the spec's paths do not stay within the run, `WorkError` where the disk refuses.
        """
        for key in ("checkpoint_dir", "eval_dir"):
            _check_place(f"general.paths.{key}", str(getattr(paths, key)))
        if "\0" in str(paths.output_dir):
            raise UsageError(f"`general.paths.output_dir` is {str(paths.output_dir)!r}, which no folder can be named")
        parent = Path(paths.output_dir)
        with reported_as(f"cannot make a folder for the run in {parent}"):
            parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{run_name[:100]}.", suffix=".tmp", dir=parent))
            try:
                for name, content in (files or {}).items():
                    write_file(temporary / name, content)
                for place in (paths.checkpoint_dir, paths.eval_dir):
                    if not Path(place).is_absolute():
                        (temporary / place).mkdir(parents=True, exist_ok=True)
                temporary.chmod(0o777 & ~umask())  # mkdtemp's are private
                number = 1 + max((number_of(path.name, run_name) for path in parent.iterdir()), default=0)
                while True:
                    folder = cls(parent / (run_name if number == 1 else f"{run_name}-{number}"), paths)
                    if folder._take(temporary):
                        return folder
                    number += 1
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def _take(self, made: Path) -> bool:
        """Give the folder ``made`` this run's name, and its places elsewhere; false where another run has them."""
        elsewhere = {place for place in (self.checkpoints, self.evals) if not place.is_relative_to(self.root)}
        if any(place.exists() for place in (self.root, *elsewhere)):
            return False
        taken: list[Path] = []
        try:
            for place in elsewhere:
                place.mkdir(parents=True)
                taken.append(place)
            made.rename(self.root)
        except OSError as error:
            for place in taken:
                place.rmdir()
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False  # another process was faster
            raise
        return True

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

    @property
    def report(self) -> Path:
        """The page that tells of the run."""
        return self.root / "report.html"

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read the numbers of the run; a last line that was being written when the machine stopped is left out."""
        if not self.metrics.exists():
            return []
        records = []
        for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            if isinstance(record, dict) and type(record.get("step")) is int:
                records.append(record)
            else:
                _log.warning("%s holds a line that is no record of a step; it is left out", self.metrics)
        return records

    def set_metrics_aside(self) -> Path:
        """Give metrics.jsonl another name, so that the run can begin anew; return it."""
        number = 1
        while (aside := self.metrics.with_name(f"{self.metrics.name}.{number}")).exists():
            number += 1
        with reported_as(f"cannot rename {self.metrics}"):
            self.metrics.rename(aside)
        return aside

    def held(self) -> AbstractContextManager[None]:
        """Keep other processes from training in this folder. Raises `UsageError` where one already does."""
        return locked(self.root / ".lock", busy=f"another process is training in {self.root}")

    def require_foreign(self, file: Path, option: str) -> None:
        """Raise `UsageError` where a user has named a file of the run itself, to be written by something else."""
        place = file.resolve()
        own = [self.root / name for name in _OWN_FILES if name != self.report.name] + [self.checkpoints, self.evals]
        if any(place.is_relative_to(one.resolve()) for one in own):
            raise UsageError(f"`{option} {file}` would replace what belongs to the run itself; name another file")

    def remove(self) -> None:
        """Remove the folder of a run that could not begin, and its places elsewhere."""
        for place in (self.root, self.checkpoints, self.evals):
            shutil.rmtree(place, ignore_errors=True)


def number_of(name: str, run_name: str) -> int:
    """Give the number behind a run's name, from which the order of runs is told: 1 without one, 0 of another name."""
    number = name.removeprefix(f"{run_name}-")
    return 1 if name == run_name else int(number) if number != name and number.isdecimal() else 0


_OWN_FILES = (".lock", "lock.json", "metrics.jsonl", "report.html", "source.yaml", "spec.yaml")


def _check_place(key: str, folder: str) -> None:
    first = os.path.normpath(folder).split(os.sep)[0]
    if "\0" in folder or first in (os.curdir, os.pardir, *_OWN_FILES):
        raise UsageError(
            f"`{key}` is {folder!r}; it must name a folder within that of the run, such as `checkpoints`, or an "
            "absolute path"
        )
