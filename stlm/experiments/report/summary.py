"""What was trained, what it cost, and what it takes to repeat it: pairs of a name and what is so."""

import os
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from stlm.compiler.report import Report, human_bytes
from stlm.data.telling import duration
from stlm.experiments.report.cost import Cost
from stlm.experiments.report.quantities import count, power, short
from stlm.experiments.report.record import Record
from stlm.experiments.report.sensible import number
from stlm.experiments.report.texts import OWN, texts


@attrs.frozen
class Fact:
    """A name, what is so, and a second line where there is more to say."""

    name: str
    value: str
    more: str = ""


def status(record: Record) -> str:
    """Say how far the run has come."""
    trainer = None if record.spec is None else record.spec.trainer
    if trainer is None:
        return "imported, not trained here" if record.imported else f"at step {record.step:,}"
    if record.step >= trainer.max_iters:
        return f"all {trainer.max_iters:,} steps done"
    return f"{record.step:,} of {trainer.max_iters:,} steps done"


def costs(record: Record, report: Report | None, cost: Cost) -> list[Fact]:
    """The figures that stand at the head of the page, each where it is known."""
    step, facts = record.step, []
    if report is not None:
        counts = report.parameters
        facts.append(Fact("Parameters", count(counts.total), f"{count(counts.embedding)} of them in embeddings"))
    if tokens := cost.tokens(step):
        facts.append(Fact("Tokens", count(tokens), f"in {step:,} steps"))
    if flops := cost.flops(step):
        facts.append(Fact("Compute", f"{power(flops)} FLOPs", f"{power(cost.flops_per_token)} a token"))
    if cost.seconds:
        facts.append(
            Fact(
                "Training time",
                duration(cost.seconds),
                f"optimizer steps alone; {count(cost.throughput or 0)} tokens/s",
            )
        )
    losses = [loss for line in record.held_out if (loss := number(line.get("loss"))) is not None]
    if losses:
        facts.append(Fact("Held-out loss", f"{losses[-1]:.3f}", f"best {min(losses):.3f}; nats a token"))
    return [*facts, *_bits(record)]


def _bits(record: Record) -> list[Fact]:
    """Take the bits of held-out text; where that was not measured, those of tokens, ends of documents included."""
    told = texts(record.last_evaluation)
    of_text = next((text.bits_per_byte for text in told if text.name == OWN and not text.passages), None)
    of_tokens = number(record.held_out[-1].get("bits_per_byte")) if record.held_out else None
    bits = of_tokens if of_text is None else of_text
    what = "of held-out tokens" if of_text is None else f"of {OWN}"
    return [] if bits is None else [Fact("Bits per byte", f"{bits:.3f}", what)]


def descriptions(record: Record, report: Report | None) -> dict[str, list[Fact]]:
    """What the run is made of: the model, its training, the machine."""
    parts = {
        "Model": _model(record, report),
        "Training": _training(record, report),
        "Machine": _machine(record, report),
    }
    return {title: facts for title, facts in parts.items() if facts}


def _model(record: Record, report: Report | None) -> list[Fact]:
    if record.spec is None:
        return []
    model = record.spec.model
    sizes = {
        "layers": getattr(model.core_model, "num_layers", None),
        "hidden dim": model.hidden_dim,
        "context window": model.context_window,
        "vocabulary": getattr(model.tokenizer, "vocab_size", None),
    }
    numbers = [Fact(name, f"{size:,}") for name, size in sizes.items() if isinstance(size, int)]
    chosen: dict[str, list[str]] = {}
    for component in () if report is None else report.components:
        chosen.setdefault(component.kind, []).append(component.name)
    shown = ("tokenizer", "embedding", "positional_encoding", "core_model", "attention", "ffn", "norm", "lm_head")
    kinds = [Fact(kind.replace("_", " "), ", ".join(chosen[kind])) for kind in shown if kind in chosen]
    if report is None:
        return [*kinds, *numbers]
    return [*kinds, *numbers, Fact("forward pass", f"{power(report.flops_per_token['forward'])} FLOPs a token")]


def _training(record: Record, report: Report | None) -> list[Fact]:
    trainer: Any = None if record.spec is None else record.spec.trainer
    if trainer is None:
        return []
    optimizer, facts = trainer.optimizer, [Fact("data set", trainer.dataset.selector)]
    facts.append(Fact("batch", f"{trainer.batch_size} × {trainer.gradient_accumulation_steps} sequences a step"))
    if report is not None:
        facts.append(Fact("tokens a step", f"{report.tokens['per_step']:,}"))
    facts += [Fact("optimizer", optimizer.selector), Fact("loss", trainer.loss_fn.selector)]
    rate = number(getattr(optimizer, "lr", None))
    schedule = Fact("schedule", trainer.lr_scheduler.selector)
    return [*facts, *([] if rate is None else [Fact("highest learning rate", short(rate))]), schedule]


def _machine(record: Record, report: Report | None) -> list[Fact]:
    sessions = record.lock.get("sessions") or [{}]
    last = sessions[-1]
    names = {"device": "device", "precision": "precision", "processes": "processes", "parallel": "parallel"}
    facts = [Fact(name, str(last[key])) for key, name in names.items() if key in last]
    facts += [Fact("platform", str(last["platform"]))] if "platform" in last else []
    memory = [] if report is None else [Fact("memory, predicted", human_bytes(report.memory.total), "of one process")]
    return [*facts, *(memory if facts else [])]


@attrs.frozen
class Session:
    """One time that a run was worked on."""

    started: str
    directory: str
    command: str
    versions: str


def sessions(record: Record) -> list[Session]:
    """List the times that a run was worked on, as its lock has them."""
    return [
        Session(
            moment(str(one.get("started", ""))),
            str(one.get("directory", "")),
            _command(one.get("command")),
            _versions(one),
        )
        for one in record.lock.get("sessions", ())
    ]


def moment(text: str) -> str:
    """Write a moment as people do: ``2026-11-30 03:20 UTC``; what is none stays as it is."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):  # a year that is none in UTC is an overflow
        return text


def _command(arguments: Any) -> str:
    if not isinstance(arguments, list) or not arguments:
        return ""
    first = Path(str(arguments[0]))
    known = {"stlm": "stlm", "__main__.py": "python -m stlm"}.get(first.name)
    rest = shlex.join(str(argument) for argument in arguments[1:])
    return f"{known or shlex.quote(str(first))} {rest}".strip()


def _versions(one: dict[str, Any]) -> str:
    plugins = one.get("plugins")
    named = [f"{what} {one[what]}" for what in ("stlm", "python", "torch") if what in one]
    others = plugins.items() if isinstance(plugins, dict) else ()
    return ", ".join([*named, *(f"{name} {version}" for name, version in others if name != "stlm")])


def repetition(record: Record) -> list[Fact]:
    """What must be the same for the run to be the same."""
    lock = record.lock
    facts = [Fact("digest of the spec", str(lock["digest"]))] if "digest" in lock else []
    fingerprints = lock.get("fingerprints", {})
    facts += [Fact(f"fingerprint of {name.replace('_', ' ')}", str(value)) for name, value in fingerprints.items()]
    named = {"data_folder": "prepared tokens", "init_from": "first weights"}
    return [*facts, *(Fact(what, str(lock[key])) for key, what in named.items() if key in lock)]


@attrs.frozen
class Again:
    """The commands that train a run anew, and the directory in which they do, empty where they do in any."""

    directory: str
    commands: str


def again(record: Record) -> Again | None:
    """Write the commands for where the run was made; of paths those within that directory are relative to it."""
    if not record.lock or record.source is None or record.imported:
        return None
    first = (record.lock.get("sessions") or [{}])[0].get("directory")
    directory = first if isinstance(first, str) and os.path.isdir(first) else ""
    source, lock = (_seen_from(directory, file) for file in (record.places.source, record.places.lock))
    commands = f"cp {source} again.yaml\nstlm train again.yaml --locked {lock}"
    return Again(directory, commands)


def _seen_from(directory: str, file: Path) -> str:
    """Write a path for a shell that is in a directory."""
    place = file.absolute()
    if directory and place.resolve().is_relative_to(Path(directory).resolve()):
        place = place.resolve().relative_to(Path(directory).resolve())
    return shlex.quote(f"./{place}" if str(place).startswith("-") else str(place))
