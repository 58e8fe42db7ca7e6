"""From a run to a Hugging Face model folder, and from such a folder to a run's folder without a trainer."""

from pathlib import Path
from typing import Any

import torch

from stlm.compiler import Program
from stlm.compiler.exports import exportable, place_of
from stlm.data.storage import write_file, write_json
from stlm.experiments.run import Run, load_run
from stlm.interchange.export import dtype_named, write_card, write_model, write_tokenizer
from stlm.interchange.folder import appearing, free_place
from stlm.interchange.plain import shown_to_transformers
from stlm.interchange.published import Published
from stlm.interchange.read import ModelFolder, read_model, understand
from stlm.interchange.verify import SAMPLES, check_logits
from stlm.registry import make_component
from stlm.registry.manager import installed
from stlm.spec import Code, Diagnostic, Spec, SpecError, StlmError, UsageError
from stlm.training.checkpoint import write_checkpoint
from stlm.training.folder import RunFolder
from stlm.training.lock import make_imported_lock


def export_run(
    path: str | Path,
    folder: str | Path,
    *,
    checkpoint: str | None = None,
    export: str | None = None,
    dtype: str = "float32",
) -> dict[str, Any]:
    """Write a run, or one of its checkpoints, as a Hugging Face model folder; returns the document of ``--json``.

    ``export`` names the export to write as; unless given, the first that has nothing against the spec. The folder has
    its name when transformers has opened it and computed the same logits, or never. Raises `SpecError` with the keys in
    the way, `UsageError` where the folder is taken, `WorkError` where the result is not the same.
    """
    target, numbers = free_place(folder), dtype_named(dtype)
    run = load_run(path, checkpoint, "cpu")
    chosen = chosen_export(run.spec, export)
    tokenizer, notes = _tokenizer_of(run)
    with appearing(target) as made:
        eot = None if tokenizer is None else tokenizer.eot_id
        difference = write_model(made, run.model, run.spec, chosen, numbers, eot)
        written = tokenizer is not None and _write_tokenizer(made, run, tokenizer, notes)
        parameters = run.program.report.parameters.total
        write_card(made, run.spec, chosen.architecture, parameters, has_tokenizer=written)
    return {
        "run": str(run.folder),
        "step": run.step,
        "folder": str(target),
        "export": chosen.selector,
        "architecture": chosen.architecture,
        "parameters": parameters,
        "dtype": dtype,
        "max_difference": difference,
        "tokenizer": written,
        "notes": notes,
    }


def chosen_export(spec: Spec, name: str | None = None) -> Any:
    """Return the export that can write a spec, or the named one. Raises `SpecError` with the keys in the way."""
    try:
        found = exportable(spec, only=name)
    except SpecError as error:
        first = error.diagnostics[0]
        raise UsageError("; ".join((first.message, *first.help))) from None
    if found.architecture is not None:
        return make_component("export", str(found.name), registry=spec.registry)
    if found.nearest is None:
        raise UsageError("; ".join(("no export is installed that could be asked", *found.unasked)))
    count = "1 key is" if len(found.blockers) == 1 else f"{len(found.blockers)} keys are"
    what = (
        f"this model is no {found.nearest}"
        if name
        else f"no export can write this model, {found.nearest} least far off"
    )
    places = [place_of(spec, blocker.key) for blocker in found.blockers]
    listed = [f"{place}: `{b.key}` {b.message}" for place, b in zip(places, found.blockers, strict=True)]
    there = f"there are the exports {', '.join(f'`{n}`' for n in spec.registry.names('export'))} (--as NAME)"
    message = f"{what}; {count} in the way"
    raise SpecError([Diagnostic(places[0], "", Code.RULE, message, (*listed, there, *found.unasked))])


def _tokenizer_of(run: Run) -> tuple[Any, list[str]]:
    try:
        return _able(run.tokenizer), []
    except StlmError as error:
        return None, [f"written without a tokenizer: {error}"]


def _able(tokenizer: Any) -> Any:
    """Return a tokenizer that can encode usual text; raises `WorkError` where it has no tokens for it."""
    tokenizer.encode_batch(list(SAMPLES))
    return tokenizer


def _write_tokenizer(folder: Path, run: Run, tokenizer: Any, notes: list[str]) -> bool:
    try:
        write_tokenizer(folder, tokenizer, run.spec.model.context_window)
    except TypeError as error:
        notes.append(f"written without a tokenizer: {error}")
        return False
    return True


def import_folder(source: str | Path, folder: str | Path) -> dict[str, Any]:
    """Read a Hugging Face model folder into a run's folder without a trainer; returns the document of ``--json``.

    ``source`` may also be the name of a model that is in the hub's cache. The run's folder has its name when all is in
    it, and the logits are those that transformers computes, or never. Raises `UsageError` or `SpecError` where the
    folder is taken or its model is none that a spec can say, `WorkError` where its files are damaged.
    """
    target = free_place(folder)
    model = understand(_folder_of(str(source)), installed())
    program = read_model(model)
    vocab_size, context_window = model.spec.model.tokenizer.vocab_size, model.spec.model.context_window
    with shown_to_transformers(model.folder, model.config) as shown:
        difference = check_logits(program.model, shown, vocab_size, context_window, torch.float32)
    tokenizer, notes = _tokenizer_there(program)
    with appearing(target) as made:
        _write_run(made, target, program, model, tokenizer)
    return {
        "run": str(target),
        "folder": str(model.folder),
        "export": model.export.selector,
        "architecture": model.architecture,
        "parameters": program.report.parameters.total,
        "max_difference": difference,
        "tokenizer": tokenizer is not None,
        "notes": notes,
    }


def _folder_of(source: str) -> Path:
    """Find the folder that is meant: one that is there, or that of a model in the hub's cache."""
    found = Published(source)
    if found.folder is not None and found.folder.is_dir():
        return found.folder
    config = found.find("config.json")
    if config is None:
        if found.folder is not None:
            raise UsageError(f"`{source}` is no folder (looked in `{Path.cwd()}`)")
        how = f"`hf download {source}` puts it there where there is a network"
        raise UsageError(f"`{source}` is no folder, nor the name of a model that is in the hub's cache; {how}")
    return config.parent


def _tokenizer_there(program: Program) -> tuple[Any, list[str]]:
    try:
        return _able(program.tokenizer), []
    except StlmError as error:
        return None, [f"imported without a tokenizer, so the model computes but reads no text: {error}"]


def _write_run(made: Path, target: Path, program: Program, model: ModelFolder, tokenizer: Any) -> None:
    """Write all that makes a folder a run; what it says of places says ``target``, which ``made`` will be."""
    spec, folder = program.spec, RunFolder(made, program.spec.general.paths)
    state = {"step": 0, "tokens_seen": 0, "held_out_loss": None, "run": str(target)}
    write_checkpoint(folder, program, state, tokenizer=tokenizer)
    write_file(folder.spec, spec.dump())
    write_file(folder.source, spec.source_text)
    imported = {"folder": str(model.folder.absolute()), "model_type": model.config["model_type"]}
    write_json(folder.lock, make_imported_lock(program, target.name, tokenizer, imported))
