"""The report of a program: everything that a dry run tells, as one value."""

import re
from typing import Any

import attrs

from stlm.compiler.cost import Memory, Parameters
from stlm.compiler.exports import Exportable
from stlm.registry import identity_of
from stlm.spec import Spec
from stlm.spec.components import Components


@attrs.frozen
class Chosen:
    """A component of the program, and the distribution that brought it."""

    kind: str
    name: str
    plugin: str
    version: str


@attrs.frozen
class Report:
    """What a spec compiles to and what it costs; `as_json` is the document that ``stlm compile --json`` prints."""

    digest: str
    run_name: str
    spec: dict[str, Any] = attrs.field(repr=False)
    components: tuple[Chosen, ...] = attrs.field(repr=False)
    parameters: Parameters
    flops_per_token: dict[str, float]
    memory: Memory
    tokens: dict[str, int]
    exports: Exportable
    assumes: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        counts = self.parameters
        return {
            "digest": self.digest,
            "run_name": self.run_name,
            "spec": self.spec,
            "components": [attrs.asdict(c) for c in self.components],
            "parameters": {
                "total": counts.total,
                "trainable": counts.trainable,
                "active": counts.active,
                "embedding": counts.embedding,
                "non_embedding": counts.non_embedding,
                "by_module": counts.by_module,
            },
            "flops_per_token": self.flops_per_token,
            "memory_bytes": {**attrs.asdict(self.memory), "total": self.memory.total},
            "tokens": self.tokens,
            "exports_as": self.exports.architecture,
            "export_blockers": [attrs.asdict(b) for b in self.exports.blockers],
            "assumes": self.assumes,
        }

    def __str__(self) -> str:
        counts = self.parameters
        lines = [
            f"{self.run_name}  {self.digest[:19]}",
            f"parameters {counts.total:,} ({human(counts.total)}), trainable {counts.trainable:,},"
            f" embedding {counts.embedding:,}",
            f"FLOPs a token {human(self.flops_per_token['forward'])} forward,"
            f" {human(self.flops_per_token['training'])} in training",
            f"memory {human_bytes(self.memory.total)}, tokens a step {self.tokens['per_step']:,}",
        ]
        return "\n".join(lines)


def chosen(components: tuple[Any, ...], registry: Components) -> tuple[Chosen, ...]:
    """List components, each once, with who brought them."""
    seen: dict[tuple[str, str], Chosen] = {}
    for component in components:
        identity = identity_of(type(component))
        assert identity is not None
        key = (identity.kind, component.selector)
        if key not in seen:
            source = registry.find(*key).source
            who = (source.distribution, source.version) if source else ("unknown", "unknown")
            seen[key] = Chosen(*key, *who)
    return tuple(seen.values())


def run_name(spec: Spec, total: int) -> str:
    """The name of a run of this spec: the one that it gives, or one that tells its size, parts and data."""
    given = spec.general.logging.wandb_run_name
    if given is not None:
        return safe_name(given)
    model = spec.model
    parts = [human(total), model.core_model.selector, f"{model.hidden_dim}d", model.tokenizer.selector]
    dataset = getattr(spec.trainer, "dataset", None)
    if dataset is not None:
        parts.append(dataset.selector.rstrip("/").rpartition("/")[2] or "data")
    return safe_name("-".join(parts))


def safe_name(name: str) -> str:
    """A name that can be a folder's on any system: letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^\w.\-]+", "-", name).strip("-.")[:100] or "run"


def human(count: float) -> str:
    """A count in three digits: 2.02M, 124M, 69.0B."""
    for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size * 0.9995:
            scaled = count / size
            return f"{scaled:.{max(0, 2 - len(str(int(scaled + 0.0005))) + 1)}f}{letter}"
    return f"{count:g}"


def human_bytes(count: float) -> str:
    """Bytes in binary units: 7.69 MiB."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= 1024**power:
            return f"{count / 1024**power:.2f} {unit}"
    return f"{count:.0f} B"
