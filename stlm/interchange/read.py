"""A Hugging Face folder as a spec and weights: what its config.json means, and its tensors under our names."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
from torch import nn

from stlm.compiler import Program, compile
from stlm.compiler.exports import told_by
from stlm.interchange.stored import StoredTensors, stored_tensors
from stlm.interchange.weights import Weight, misfits, read_theirs
from stlm.registry import parse_spec
from stlm.registry.blame import blaming_component
from stlm.spec import Code, Diagnostic, Place, Spec, SpecError, UsageError, WorkError
from stlm.spec.canonical import dump_plain
from stlm.spec.components import Components
from stlm.spec.diagnostics import shortened
from stlm.spec.suggest import nearest


@attrs.frozen
class ModelFolder:
    """A model folder: where it is, what its config.json says, who reads it, and the spec that it means."""

    folder: Path
    config: dict[str, Any]
    export: Any
    spec: Spec
    table: tuple[Weight, ...]

    @property
    def architecture(self) -> str:
        """The class that its config.json names, or that of the export which reads it."""
        named = self.config.get("architectures")
        known = isinstance(named, list) and named and isinstance(named[0], str)
        return shortened(named[0]) if known else str(self.export.architecture)

    def stored(self) -> StoredTensors:
        """Look at its tensors; no weights are read."""
        return stored_tensors(self.folder, [name for weight in self.table for name in weight.theirs])


def understand(folder: Path, registry: Components) -> ModelFolder:
    """Read a folder's config.json. Raises `UsageError`, or `SpecError` with the keys that no spec can say."""
    config = _config(folder)
    export = _reader(folder, config, registry)
    with blaming_component(export, registry):
        obstacles = told_by(export.unreadable(config)) if hasattr(export, "unreadable") else []
        if config.get("quantization_config") is not None:
            obstacles.append(("quantization_config", "must not be there; quantized weights cannot be read"))
        if obstacles:
            raise _refusal(folder / "config.json", f"this {config['model_type']}", obstacles)
        section = export.section(config, folder.absolute())
    spec = _spec_of(folder, section, registry)
    with blaming_component(export, registry):
        return ModelFolder(folder, config, export, spec, tuple(export.weights(spec.model, config)))


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    if not file.is_file():
        raise UsageError(f"`{folder}` is no model folder of Hugging Face's: it has no `config.json`")
    try:
        config = json.loads(_text(file))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"`{file}` is not JSON: {error}") from None
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise UsageError(f"`{file}` names no `model_type`, so its architecture is not known")
    return config


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8-sig")  # some editors mark the encoding


def _reader(folder: Path, config: dict[str, Any], registry: Components) -> Any:
    """Find the export that reads a model type."""
    known: dict[str, Any] = {}
    for found in registry.all_of("export"):
        for name in getattr(found.cls, "model_types", ()):
            known.setdefault(name, found.cls)
    if config["model_type"] in known:
        return known[config["model_type"]]()
    wanted = shortened(config["model_type"])
    names = ", ".join(f"`{name}`" for name in sorted(known))
    message = f"`{folder}` holds a `{wanted}`, and those that can be read are {names}"
    raise UsageError("; ".join((message, *nearest(wanted, known))))


def _spec_of(folder: Path, section: dict[str, Any], registry: Components) -> Spec:
    """Resolve the spec that was meant; what is out of its ranges is a mistake of the config.json."""
    try:
        return parse_spec(dump_plain({"model": section, "general": {"device": "auto"}}), registry=registry)
    except SpecError as error:
        raise _refusal(folder / "config.json", "this model", [(d.key, d.message) for d in error.diagnostics]) from None


def _refusal(file: Path, what: str, obstacles: Iterable[tuple[str, str]]) -> SpecError:
    """Make the one error that lists all that is in the way, each at its line of the file."""
    lines = _text(file).splitlines()
    placed = [(_place(file, lines, key), f"`{key}` {message}") for key, message in obstacles]
    help_lines = tuple(f"{place}: {text}" for place, text in placed)
    count = "1 key is" if len(placed) == 1 else f"{len(placed)} keys are"
    message = f"{what} computes what no spec can say; {count} in the way"
    return SpecError([Diagnostic(placed[0][0], "", Code.RULE, message, help_lines)])


def _place(file: Path, lines: list[str], key: str) -> Place:
    for number, line in enumerate(lines, 1):
        found = re.search(rf'"{re.escape(key)}"\s*:', line)
        if found:
            return Place(str(file), number, found.start() + 1, len(key) + 2, line)
    return Place(str(file), 1, 1)


def check_fit(source: ModelFolder, stored: StoredTensors, model: nn.Module) -> None:
    """Compare a folder's tensors with a model's, which may be on the meta device. Raises `WorkError`."""
    with blaming_component(source.export, source.spec.registry):
        problems = misfits(model, source.table, stored, getattr(source.export, "leftovers", ()))
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise WorkError(f"the weights in `{source.folder}` do not fit: {'; '.join(problems[:3])}{more}")


def read_model(source: ModelFolder, device: str = "cpu") -> Program:
    """Build the network of a folder's own spec on a device, with the folder's weights, in evaluation mode.

    Raises `WorkError` where they do not fit, before memory is taken.
    """
    stored = source.stored()
    check_fit(source, stored, compile(source.spec, "meta").model)
    program = compile(source.spec, device, trained=True)
    with blaming_component(source.export, source.spec.registry):
        _fill(source, stored, program.model.eval())
    return program


def _fill(source: ModelFolder, stored: StoredTensors, model: nn.Module) -> None:
    differing = read_theirs(model, source.table, stored)
    if differing:
        raise WorkError(
            f"`{source.folder}` says `tie_word_embeddings`, but its `{differing[0]}` is not the embedding; set it to "
            "false in config.json to read both"
        )
