"""The tensors of a Hugging Face folder: one safetensors file, or several with an index. Nothing pickled is opened."""

from collections.abc import Iterable
from pathlib import Path

import attrs
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stlm.data.storage import read_json
from stlm.spec.diagnostics import shortened
from stlm.spec.errors import UsageError, WorkError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@attrs.frozen
class StoredTensors:
    """Shapes, types and files of a folder's tensors, by the names that a whole model of its architecture has."""

    shapes: dict[str, tuple[int, ...]]
    types: dict[str, str]
    files: dict[str, Path]
    spelled: dict[str, str]

    def tensor(self, name: str) -> Tensor:
        """Read a tensor. Raises `WorkError` where the file cannot be read after all."""
        file = self.files[name]
        try:
            with safe_open(file, framework="pt") as opened:
                return opened.get_tensor(self.spelled[name])
        except (OSError, SafetensorError) as error:
            raise WorkError(f"`{file}` cannot be read: {error}") from error


def stored_tensors(folder: Path, wanted: Iterable[str]) -> StoredTensors:
    """Look at the tensors in a folder; no weights are read.

    A folder that holds a bare body names them without the first part of ``wanted`` (`h.0…` for `transformer.h.0…`).
    Raises `UsageError` where there are none that can be read, `WorkError` where files are damaged or missing.
    """
    found = {
        name: (shape, kind, file) for file in weight_files(folder) for name, (shape, kind) in _header(file).items()
    }
    full = _full_names(found, wanted)
    shapes, types, files = ({full[name]: about[i] for name, about in found.items()} for i in range(3))
    return StoredTensors(shapes, types, files, {whole: name for name, whole in full.items()})


def _full_names(stored: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Map stored names to those of a whole model, which are the same unless none of its body's is there."""
    there, body = set(stored), {name for name in wanted if "." in name.partition(".")[2]}
    bare = {name.partition(".")[2]: name for name in body}
    names = bare if not there & body and there & set(bare) else {}
    return {name: names.get(name, name) for name in there}


def weight_files(folder: Path) -> list[Path]:
    """List the files that hold a folder's weights; raises as `stored_tensors` does."""
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if (folder / INDEX).is_file():
        return _shards(folder)
    pickled = sorted(folder.glob("*.bin"))
    if pickled:
        raise UsageError(
            f"`{folder}` has its weights in `{pickled[0].name}`, which is pickled and could run code; convert it where "
            "you trust it: AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
        )
    raise UsageError(f"`{folder}` holds no weights (no `{SINGLE}` in it)")


def _shards(folder: Path) -> list[Path]:
    index = read_json(folder / INDEX)
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise WorkError(f"`{folder / INDEX}` is damaged: it has no `weight_map` from tensors to files")
    files = sorted(set(names.values()))
    for name in files:
        if Path(name).name != name:
            raise WorkError(f"`{folder / INDEX}` names `{shortened(name)}`, which is not a file beside it")
        if not (folder / name).is_file():
            raise WorkError(f"`{folder}` is not whole: `{shortened(name)}`, which its index names, is missing")
    return [folder / name for name in files]


def _header(file: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Read the shapes and types of a file's tensors."""
    try:
        with safe_open(file, framework="pt") as opened:
            views = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - it is no mapping
            return {name: (tuple(view.get_shape()), view.get_dtype()) for name, view in views.items()}
    except (OSError, SafetensorError) as error:
        raise WorkError(f"`{file}` is damaged or not whole: {shortened(str(error), 300)}") from error
