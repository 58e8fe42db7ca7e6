"""A run as a value: trained, or loaded from its folder, ready to generate and to be evaluated."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from stlm.compiler import Program, compile
from stlm.data.prepare import PreparedData, prepare
from stlm.data.saved import load_tokenizer
from stlm.data.storage import read_json
from stlm.evaluation.suite import Subject, evaluate_subject
from stlm.experiments.find import checked, run_to_resume
from stlm.generation.generate import generate_tokens
from stlm.generation.text import TextStream
from stlm.nn.random import derive_seed
from stlm.registry.loading import load_spec
from stlm.registry.manager import installed
from stlm.spec import Code, Spec, UsageError, WorkError, mistake
from stlm.spec.components import NotFoundError
from stlm.spec.declaration import declaration_of
from stlm.training.checkpoint import (
    Checkpoint,
    DamagedError,
    best_checkpoint,
    latest_checkpoint,
    read_checkpoint,
    restore_model,
)
from stlm.training.files import write_atomically, write_json
from stlm.training.folder import RunFolder
from stlm.training.lock import extend_lock, make_lock, read_lock
from stlm.training.precision import autocast_dtype
from stlm.training.progress import PreparationProgress


class Run:
    """A trained model with its spec, tokenizer, numbers and folder."""

    def __init__(
        self, folder: RunFolder, program: Program, checkpoint: Checkpoint | None, *, interrupted: bool = False
    ) -> None:
        self.places = folder
        self.program = program
        self.checkpoint = checkpoint
        self.interrupted = interrupted

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
            own = getattr(self.spec.model.tokenizer, "load", None)  # one with a layout of its own reads it itself
            if own is not None:
                return own(self.checkpoint.tokenizer)
            return load_tokenizer(self.checkpoint.tokenizer, self.spec.model.tokenizer.vocab_size)
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
            "loss": train[-1]["loss"] if train else None,
            "val_loss": held_out[-1].get("loss") if held_out else None,
            "tokens_per_second": train[-1]["tokens_per_second"] if train else None,
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
        prompt_ids = self.tokenizer.encode_batch([prompt])[0]
        text = TextStream(self.tokenizer, prompt_ids)
        tokens = generate_tokens(
            self.model,
            prompt_ids,
            sampler=make_sampler(sampler, options).build(),
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


def make_sampler(name: str, options: dict[str, Any]) -> Any:
    """Make a sampler component from its name and options; raises `UsageError` where either is wrong."""
    cls = _component("sampler", name).cls
    given = {key: value for key, value in options.items() if value is not None}
    known = {slot.key for slot in declaration_of(cls).slots.values()}
    unknown = sorted(set(given) - known)
    if unknown:
        raise UsageError(f"sampler `{name}` has no option `{unknown[0]}`; it has {', '.join(sorted(known)) or 'none'}")
    try:
        return cls(**given)
    except (TypeError, ValueError) as error:
        raise UsageError(f"sampler `{name}`: {error}") from None


def _component(kind: str, name: str) -> Any:
    try:
        return installed().find(kind, name)
    except NotFoundError as error:
        raise UsageError("; ".join((error.message, *error.help))) from None


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
        root = beside if (beside / "spec.yaml").is_file() else chosen.run
        folder = RunFolder(root, spec.general.paths)
    elif (path / "spec.yaml").is_file():
        spec = load_spec(path / "spec.yaml")
        folder = RunFolder(path, spec.general.paths)
        chosen = choose_checkpoint(folder, checkpoint or "latest")
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
    found = named(folder.checkpoints) if named else None
    if found is not None:
        return found
    if named is None and (folder.checkpoints / name / "state.json").is_file():
        return _whole(folder.checkpoints / name)
    there = sorted(path.name for path in folder.checkpoints.glob("step-*"))
    raise UsageError(f"{folder.root} has no checkpoint `{name}`; it has {', '.join(there) or 'none yet'}")


def _whole(path: Path) -> Checkpoint:
    try:
        return read_checkpoint(path)
    except DamagedError as error:
        raise WorkError(str(error)) from error


def train(
    spec: Spec, *, resume: bool | str | Path = False, allow_changed: Sequence[str] = (), device: str | None = None
) -> Run:
    """Train a spec to its last step, or until it is interrupted (then the result says ``interrupted``).

    Each call makes a new run in a folder of its own, unless ``resume`` is true, which goes on with the latest run of
    the same digest, or the folder of the run to go on with. Keys in ``allow_changed`` may differ from that run's spec.
    """
    if spec.trainer is None:
        raise mistake(spec, "trainer", Code.MISSING_KEY, "this spec has no `trainer` section, so it cannot be trained")
    program = compile(spec, device or spec.general.device)
    data = prepare(spec, program.tokenizer, PreparationProgress())
    where = next(program.model.parameters()).device
    if isinstance(resume, bool):
        folder = run_to_resume(spec, program.report.run_name, allow_changed) if resume else None
    else:
        folder = checked(spec, Path(resume), allow_changed)
    goes_on = folder is not None
    if folder is None:
        folder = RunFolder.create(program.report.run_name, spec.general.paths)
    with folder.held():
        if goes_on:
            extend_lock(folder.lock, program, data, where)
        write_atomically(folder.spec, spec.dump())
        write_atomically(folder.source, spec.source_text)
        if not goes_on:  # the lock comes last: a folder that has one is a run that can go on
            write_json(folder.lock, make_lock(program, data, where))
        checkpoint = latest_checkpoint(folder.checkpoints) if goes_on else None
        state = spec.trainer.build(program, folder=folder, data=data, checkpoint=checkpoint)()
        program.model.eval()
        return Run(folder, program, latest_checkpoint(folder.checkpoints), interrupted=state.interrupted)


def evaluate(
    run: Run,
    benchmarks: Sequence[str] | None = None,
    num_samples: int | None = None,
    sample: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Evaluate a run: the named ``benchmarks`` (its spec's, unless given), text modelling and the held-out loss.

    ``num_samples`` rows of each benchmark are scored, the spec's number unless given; 0 means all. ``sample`` is given
    a record for each row. Returns what ``stlm eval --json`` prints; a part that did not run is absent.
    """
    trainer = run.spec.trainer
    if num_samples is None:
        num_samples = 1000 if trainer is None else trainer.eval.num_samples
    if benchmarks is None:
        chosen = () if trainer is None else trainer.eval.mcq_benchmarks
    else:
        found = [_component("benchmark", name) for name in benchmarks]
        chosen = [one.cls(selector=one.selector, member=one.member) for one in found]
    subject = Subject(
        model=run.model,
        spec=run.spec,
        tokenizer=run.tokenizer,
        data=None if trainer is None else prepared_data(run),
        loss=None if trainer is None else trainer.loss_fn.build(trainer),
        autocast_dtype=autocast_dtype(getattr(trainer, "precision", "fp32"), next(run.model.parameters()).device),
    )
    measured = evaluate_subject(subject, benchmarks=chosen, num_samples=num_samples, sample=sample)
    return {"run": str(run.folder), "step": run.step, **measured}


def prepared_data(run: Run) -> PreparedData:
    """Open the tokens that a run was trained on, where they still are what its lock says; else prepare them again."""
    lock = read_lock(run.places.lock) or {}
    folder = Path(lock.get("data_folder", ""))
    manifest = read_json(folder / "manifest.json")
    if isinstance(manifest, dict) and manifest.get("fingerprint") == lock.get("fingerprints", {}).get("data"):
        return PreparedData(folder, manifest, reused=True)
    return prepare(run.spec, run.tokenizer, PreparationProgress())
