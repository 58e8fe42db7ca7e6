"""A run as a value: loaded from its folder, ready to generate."""

import re
from collections.abc import Container, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from stlm.compiler import Program, compile
from stlm.generation.generate import generate_tokens
from stlm.generation.text import TextStream
from stlm.nn.random import derive_seed
from stlm.registry import load_spec, make_component
from stlm.spec import Spec, UsageError, WorkError
from stlm.training.checkpoint import (
    Checkpoint,
    DamagedError,
    best_checkpoint,
    latest_checkpoint,
    read_checkpoint,
    restore_model,
)
from stlm.training.folder import RunFolder
from stlm.training.lock import known_digests, read_lock


class Run:
    """A trained model with its spec, tokenizer, numbers and folder."""

    def __init__(
        self, folder: RunFolder, program: Program, checkpoint: Checkpoint | None, *, interrupted: bool = False
    ) -> None:
        self.places = folder
        self.program = program
        self.checkpoint = checkpoint
        self.interrupted = interrupted

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, step={self.step})"

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.places.root

    @property
    def spec(self) -> Spec:
        """The resolved spec."""
        return self.program.spec

    @property
    def model(self) -> Any:
        """The network, in evaluation mode."""
        return self.program.model

    @property
    def step(self) -> int:
        """Optimizer steps that made the model's weights."""
        return 0 if self.checkpoint is None else self.checkpoint.step

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer that the model was trained with, from the checkpoint's own files where they are there."""
        if self.checkpoint is not None and self.checkpoint.tokenizer.is_dir():
            return self.spec.model.tokenizer.load(self.checkpoint.tokenizer)
        return self.program.tokenizer

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        return self.places.read_metrics()

    def summary(self) -> dict[str, Any]:
        """Return what ``stlm train --json`` prints."""
        records = self.metrics
        train = [r for r in records if r.get("split") == "train"]
        held_out = [r for r in records if r.get("split") == "val"]
        return {
            "run": str(self.folder),
            "steps": self.step,
            "loss": _last(train, "loss"),
            "val_loss": _last(held_out, "loss"),
            "tokens_per_second": _last(train, "tokens_per_second"),
            "checkpoint": None if self.checkpoint is None else str(self.checkpoint.folder),
        }

    def generate(self, prompt: str, **options: Any) -> str:
        """Return new text that goes on from ``prompt``; takes what `stream` takes."""
        return "".join(self.stream(prompt, **options))

    def stream(
        self,
        prompt: str,
        *,
        max_new_tokens: int = 100,
        sampler: str = "standard",
        seed: int | None = None,
        sample: int = 0,
        cached: bool = True,
        **options: Any,
    ) -> Iterator[str]:
        """Yield new text as it is made, never half a character.

        ``options`` are those of the sampler (``temperature``, ``top_k``, …; None stands for the default). ``seed`` is
        the spec's unless given, and ``sample`` tells several texts of one seed apart. A prompt longer than the context
        window loses its beginning; ``cached=False`` computes everything anew for each token, to the same result.
        """
        if max_new_tokens < 0:
            raise UsageError(f"`max_new_tokens` must be 0 or greater, got {max_new_tokens}")
        try:
            prompt.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"the prompt is not UTF-8: character {error.start + 1} of it cannot be read") from None
        given = {name: value for name, value in options.items() if value is not None}
        prompt_ids = self.tokenizer.encode_batch([prompt])[0]
        text = TextStream(self.tokenizer, prompt_ids)
        tokens = generate_tokens(
            self.model,
            prompt_ids,
            device=self.program.device,
            sampler=make_component("sampler", sampler, given).build(),
            max_new_tokens=max_new_tokens,
            context_window=self.spec.model.context_window,
            eot_id=self.tokenizer.eot_id,
            seed=derive_seed(self.spec.general.seed if seed is None else seed, "generate", sample),
            cached=cached,
        )
        for token_id in tokens:
            piece = text.add(token_id)
            if piece:
                yield piece
        rest = text.end()
        if rest:
            yield rest


def _last(records: list[dict[str, Any]], key: str) -> float | None:
    """Return the last number of a name; None where there is none."""
    value = records[-1].get(key) if records else None
    return value if isinstance(value, int | float) else None


def load_run(path: str | Path, checkpoint: str | None = None, device: str = "auto") -> Run:
    """Load a run from its folder, or from the folder of one of its checkpoints.

    ``checkpoint`` is ``latest`` (the default), ``best`` by held-out loss, or a name such as ``step-100``.
    """
    path = Path(path)
    if (path / "state.json").is_file():
        if checkpoint is not None:
            raise UsageError(f"`{path}` is a checkpoint already; `{checkpoint}` cannot be chosen within it")
        chosen = _whole(path)
        spec = load_spec(path / "spec.yaml")
        beside = path.absolute().parent.parent
        root = beside if (beside / "spec.yaml").is_file() else chosen.run_folder
        folder = RunFolder(root, spec.general.paths)
    elif (path / "spec.yaml").is_file():
        spec = load_spec(path / "spec.yaml")
        folder = RunFolder(path, spec.general.paths)
        chosen = choose_checkpoint(folder, "latest" if checkpoint is None else checkpoint)
    else:
        what = "neither a run's folder nor a checkpoint" if path.exists() else "not there"
        raise UsageError(f"`{path}` is {what}")
    program = compile(spec, device)
    restore_model(program.model, chosen)
    program.model.eval()
    return Run(folder, program, chosen)


def choose_checkpoint(folder: RunFolder, name: str) -> Checkpoint:
    """Find a checkpoint of a run by name; raises `UsageError` where there is none."""
    named = {"latest": latest_checkpoint, "best": best_checkpoint}.get(name)
    digests = known_digests(read_lock(folder.lock))
    found = named(folder.checkpoints, digests) if named else None
    if found is not None:
        return found
    if re.fullmatch(r"step-\d+", name) and (folder.checkpoints / name / "state.json").is_file():
        return _whole(folder.checkpoints / name, digests)
    there = sorted(path.name for path in folder.checkpoints.glob("step-*"))
    raise UsageError(f"{folder.root} has no checkpoint `{name}`; it has {', '.join(there) or 'none yet'}")


def _whole(path: Path, digests: Container[str] | None = None) -> Checkpoint:
    try:
        return read_checkpoint(path, digests)
    except DamagedError as error:
        raise WorkError(str(error)) from error
