"""What a checkpoint's folder holds besides tensors, and the folder's way to its name."""

import importlib.metadata
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from stlm.data.storage import file_sha256, flush, new_folder, reported_as, write_file, write_json
from stlm.spec.errors import WorkError
from stlm.training.checkpoint.found import remove_old
from stlm.training.folder import RunFolder
from stlm.training.lock import note_saved
from stlm.training.weights import save_weights

_log = logging.getLogger(__name__)
FORMAT = 1


@attrs.frozen
class Contents:
    """A checkpoint that is being made, without its tensors.

    ``state`` are the numbers that ``state.json`` says: the step, the tokens seen, the held-out loss. ``documents`` are
    JSON documents by the names of their files; ``keep`` is how many of the latest checkpoints stay.
    """

    run_folder: RunFolder
    program: Any
    tokenizer: Any
    state: Mapping[str, Any]
    documents: Mapping[str, Any] = attrs.field(factory=dict)
    keep: int = 1

    @property
    def target(self) -> Path:
        """The folder as it will be called."""
        return self.run_folder.checkpoints / f"step-{self.state['step']}"

    @property
    def making(self) -> Path:
        """The folder while it is being made; what a kill leaves of it is cleared away by the next start."""
        return self.target.with_name(f".{self.target.name}.tmp")

    def begin(self) -> None:
        """Make the folder, empty."""
        with reported_as(f"cannot write `{self.target}`"):
            shutil.rmtree(self.making, ignore_errors=True)
            self.making.mkdir(parents=True)

    def discard(self) -> None:
        """Remove what was made so far."""
        shutil.rmtree(self.making, ignore_errors=True)

    def finish(self, hashed: Mapping[str, dict[str, Any]]) -> None:
        """Write the rest beside the tensors' files, of which ``hashed`` says sizes and hashes; then give the name.

        It becomes the latest, and checkpoints that are no longer kept are removed. From the moment that it has its name
        it stands: what the disk then refuses to note is told of, and is no failure.
        """
        with reported_as(f"cannot write `{self.target}`"):
            self.fill(self.making, hashed)
            for path in (*self.making.rglob("*"), self.making):
                flush(path)
            if self.target.exists():
                shutil.rmtree(self.target)
            self.making.rename(self.target)
            flush(self.target.parent)
        try:
            self.point_to_it()
            note_saved(self.run_folder.lock)
            remove_old(self.run_folder.checkpoints, self.keep)
        except WorkError as error:
            _log.warning("%s stands, but is not noted everywhere: %s", self.target, error)

    def fill(self, folder: Path, hashed: Mapping[str, dict[str, Any]]) -> None:
        """Write all but tensors into ``folder``; ``state.json`` comes last, with the hashes of all files."""
        for name, document in self.documents.items():
            write_json(folder / name, document)
        if self.tokenizer is not None:
            (folder / "tokenizer").mkdir()
            self.tokenizer.save(folder / "tokenizer")
        keep = getattr(getattr(self.program.model, "core", None), "keep", None)
        if keep is not None:
            (folder / "core").mkdir()
            keep(folder / "core")
        write_file(folder / "spec.yaml", self.program.spec.dump())
        if self.run_folder.lock.exists():
            write_file(folder / "lock.json", self.run_folder.lock.read_bytes())
        about = {
            "format": FORMAT,
            "stlm": importlib.metadata.version("stlm"),
            "digest": self.program.spec.digest,
            "run": str(self.run_folder.root.absolute()),
        }
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = {path.relative_to(folder).as_posix(): path for path in files}
        manifest = {name: hashed.get(name) or size_and_hash(path) for name, path in names.items()}
        write_json(folder / "state.json", {**about, **self.state, "files": manifest})

    def point_to_it(self) -> None:
        """Make it the latest."""
        write_file(self.run_folder.checkpoints / "latest", self.target.name + "\n")


def size_and_hash(path: Path) -> dict[str, Any]:
    """Say what ``state.json`` says of a file."""
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def write_checkpoint(run_folder: RunFolder, program: Any, state: dict[str, Any], *, tokenizer: Any) -> Path:
    """Write a program's weights and spec under ``state["step"]``, with the tokenizer if any, and make it the latest."""
    contents = Contents(run_folder, program, tokenizer, state)
    with new_folder(contents.target) as folder:
        save_weights(program.model, folder / "model.safetensors")
        contents.fill(folder, {})
    contents.point_to_it()
    return contents.target
