"""A run as a value: loaded from its folder, ready to generate."""

import logging
import re
from collections.abc import Container, Iterator, Sequence
from functools import cached_property
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import attrs
from torch import Generator, Tensor

from stlm.compiler import Program, compile
from stlm.evaluation.requests import Opening
from stlm.generation.generate import Decoder, Sampler
from stlm.generation.text import write_texts
from stlm.nn.causality import is_causal
from stlm.nn.random import derive_seed
from stlm.registry import load_spec, make_component
from stlm.registry.blame import blaming_component
from stlm.registry.discovery import normal
from stlm.spec import Code, Spec, SpecError, UsageError, WorkError
from stlm.spec.components import Components
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

_log = logging.getLogger(__name__)


class Run:
    """A trained model with its spec, tokenizer, numbers and folder; ``name`` is what results call it."""

    def __init__(
        self,
        folder: RunFolder,
        program: Program,
        checkpoint: Checkpoint | None,
        *,
        interrupted: bool = False,
        name: str | None = None,
    ) -> None:
        self.places = folder
        self.name = str(folder.root) if name is None else name
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

    def generate(self, prompt: str | Sequence[str], **options: Any) -> str | list[str]:
        """Return new text that goes on from ``prompt``, of several prompts or samples a list; takes what `write` takes.

        The list has the samples of the first prompt, then those of the second, and so on.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        texts = [""] * (len(prompts) * options.get("num_samples", 1))
        for number, piece in self.write(prompts, **options):
            texts[number] += piece
        return texts[0] if isinstance(prompt, str) and len(texts) == 1 else texts

    def stream(self, prompt: str, **options: Any) -> Iterator[str]:
        """Yield the pieces of one text as they are made, never half a character; takes what `write` takes."""
        return (piece for _, piece in self.write([prompt], **options))

    def write(
        self,
        prompts: Sequence[str],
        *,
        num_samples: int = 1,
        max_new_tokens: int = 100,
        sampler: str = "standard",
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        cached: bool = True,
        **options: Any,
    ) -> Iterator[tuple[int, str]]:
        """Go on from several prompts at once, ``num_samples`` times each: yield the text's number and its next piece.

        ``options`` are those of the sampler (``temperature``, ``top_k``, …; None stands for the default). A text ends
        before the first of the ``stop`` strings. ``seed`` is the spec's unless given; what is drawn for a text depends
        on it and on the sample's number alone, so each text is the same with others beside it and by itself. A prompt
        longer than the context window loses its beginning, with a warning; ``cached=False`` computes everything anew
        for each token, to the same result. Raises `UsageError` where an option cannot be used.
        """
        for name, count, least in (("max_new_tokens", max_new_tokens, 0), ("num_samples", num_samples, 1)):
            if count < least:
                raise UsageError(f"`{name}` must be {least} or greater, got {count}")
        if isinstance(prompts, str) or not all(isinstance(prompt, str) for prompt in prompts):
            raise UsageError("a prompt must be a string, and several a list of strings")
        stops = (stop,) if isinstance(stop, str) else tuple(stop)
        if not all(isinstance(one, str) for one in stops):
            raise UsageError("a stop string must be a string")
        if "" in stops:
            raise UsageError("a stop string must not be empty")
        given = {name: value for name, value in options.items() if value is not None}
        decoder = Decoder(
            self.model,
            [ids for ids in self._encoded(prompts) for _ in range(num_samples)],
            [self._seed(seed, sample) for _ in prompts for sample in range(num_samples)],
            device=self.program.device,
            sampler=_drawing(make_component("sampler", sampler, given, registry=self.spec.registry), self.spec),
            context_window=self.spec.model.context_window,
            cached=cached,
            mask_id=self.tokenizer.mask_id if self._sees_both_sides else None,
        )
        return write_texts(decoder, self.tokenizer, max_new_tokens=max_new_tokens, stop=stops)

    @property
    def _sees_both_sides(self) -> bool:
        return not is_causal(self.model)

    def _seed(self, seed: int | None, sample: int) -> int:
        return derive_seed(self.spec.general.seed if seed is None else seed, "generate", sample)

    def _encoded(self, prompts: Sequence[str]) -> list[list[int]]:
        """Encode prompts, each after what its model saw before texts; an empty one is what stands for no context."""
        for prompt in prompts:
            try:
                prompt.encode()
            except UnicodeEncodeError as error:
                raise UsageError(f"the prompt is not UTF-8: character {error.start + 1} of it cannot be read") from None
        opening = Opening.of_spec(self.spec, self.tokenizer)
        texts = self.tokenizer.encode_batch(list(prompts))
        encoded = [[*opening.before, *ids] if ids else list(opening.alone) for ids in texts]
        window = self.spec.model.context_window - int(self._sees_both_sides)  # the place of the next token takes one
        longest = max(map(len, encoded), default=0)
        if longest > window:
            _log.warning("the prompt has %d tokens, of which the model sees the last %d", longest, window)
        return encoded


def _drawing(component: Any, spec: Spec) -> Sampler:
    """Build a sampler; whatever goes wrong in it is told as its own."""
    with blaming_component(component, spec.registry):
        sampler = component.build()

    def draw(logits: Tensor, history: list[list[int]], generator: Generator) -> Tensor:
        with blaming_component(component, spec.registry):
            drawn: Tensor = sampler(logits, history, generator)
            vocab_size = logits.shape[-1]
            if not all(0 <= token_id < vocab_size for token_id in drawn.tolist()):
                raise ValueError(f"it drew {drawn.tolist()}, and there are {vocab_size} tokens")
            return drawn

    return draw


def _last(records: list[dict[str, Any]], key: str) -> float | None:
    """Return the last number of a name; None where there is none."""
    value = records[-1].get(key) if records else None
    return value if isinstance(value, int | float) else None


def load_run(
    path: str | Path, checkpoint: str | None = None, device: str = "auto", overrides: Sequence[str] = ()
) -> Run:
    """Load a run from its folder, or from the folder of one of its checkpoints.

    ``checkpoint`` is ``latest`` (the default), ``best`` by held-out loss, or a name such as ``step-100``. With
    ``overrides``, the run's spec says something else than it did in training.
    """
    folder, spec, chosen = look_at_run(path, checkpoint, overrides)
    program = compile(spec, device, trained=True, kept=chosen.core)
    restore_model(program.model, chosen)
    program.model.eval()
    return Run(folder, program, chosen)


def look_at_run(
    path: str | Path,
    checkpoint: str | None = None,
    overrides: Sequence[str] = (),
    *,
    registry: Components | None = None,
) -> tuple[RunFolder, Spec, Checkpoint]:
    """Find a run and one of its checkpoints, as `load_run` does, and read its spec; no network is built."""
    path = Path(path)
    if (path / "state.json").is_file():
        if checkpoint is not None:
            raise UsageError(f"`{path}` is a checkpoint already; `{checkpoint}` cannot be chosen within it")
        chosen = _whole(path)
        beside = path.absolute().parent.parent
        spec = _own_spec(path / "spec.yaml", overrides, beside / "lock.json", registry)
        root = beside if (beside / "spec.yaml").is_file() else chosen.run_folder
        return RunFolder(root, spec.general.paths), spec, chosen
    if (path / "spec.yaml").is_file():
        spec = _own_spec(path / "spec.yaml", overrides, path / "lock.json", registry)
        folder = RunFolder(path, spec.general.paths)
        return folder, spec, choose_checkpoint(folder, "latest" if checkpoint is None else checkpoint)
    raise UsageError(f"`{path}` is {_no_run(path)}")


def _own_spec(file: Path, overrides: Sequence[str], lock: Path, registry: Components | None) -> Spec:
    """Read the spec of a run; a name that a package brought which is gone is told with that package."""
    try:
        return load_spec(file, overrides, registry=registry)
    except SpecError as error:
        sessions = (read_lock(lock) or {"sessions": []})["sessions"]
        used = {str(name): version for one in sessions for name, version in dict(one.get("plugins", {})).items()}
        here = {normal(one.metadata["Name"] or "") for one in distributions()}
        gone = [f"{name} {version}" for name, version in sorted(used.items()) if normal(name) not in here]
        if not gone:
            raise
        hint = f"the run was trained with {', '.join(gone)}, which {'are' if gone[1:] else 'is'} not installed"
        unknown = (Code.UNKNOWN_NAME, Code.UNKNOWN_KEY)
        told = [attrs.evolve(d, help=(hint, *d.help)) if d.code in unknown else d for d in error.diagnostics]
        raise SpecError(told) from None


def _no_run(path: Path) -> str:
    if (path / "config.json").is_file():
        return "a model folder of Hugging Face's; `stlm import` makes a run of it"
    return "neither a run's folder nor a checkpoint" if path.exists() else "not there"


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
