"""What an export must do: say what is in the way, and tell of every tensor as the other library names and shapes it."""

import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch

from stlm.interchange.weights import as_theirs, misfits
from stlm.registry.loading import parse_spec
from stlm.spec import Spec, SpecError
from stlm.spec.canonical import dump_plain
from stlm.testing.checking import BrokenError, NotApplicableError, check, hold, no_promise
from stlm.testing.kits.network import NETWORK
from stlm.testing.plain import Plain, says
from stlm.testing.subject import Subject

LLAMA: Plain = {
    "positional_encoding_type": "rope",
    "attn": {"attn_type": "causal", "num_kv_heads": 2, "num_q_heads": 4},
    "ffn": {"ffn_type": "silu_ffn", "ffn_dim": 40},
}
QWEN: Plain = {**LLAMA, "attn": {**LLAMA["attn"], "head_dim": 10, "qk_norm": "rms_norm"}}
GPT2: Plain = {
    "positional_encoding_type": "learned",
    "lm_head_normalization": "layer_norm",
    "attn": {"attn_type": "causal", "num_kv_heads": 4, "bias": True, "normalization": "layer_norm"},
    "ffn": {
        "ffn_type": "generic",
        "ffn_dim": 40,
        "activation": "gelu_tanh",
        "normalization": "layer_norm",
        "bias": True,
    },
}
NEOX: Plain = {**GPT2, "positional_encoding_type": "rope", "ffn": {**GPT2["ffn"], "activation": "gelu"}}
FAMILIES = (LLAMA, QWEN, GPT2, NEOX)
"""Forms of decoder that are published."""

VARIANTS = [
    f"model.{key}={value}"
    for key, value in product(("embedding_weight_tying", "attn.bias", "ffn.bias"), ("true", "false"))
]


def fitting(subject: Subject) -> Iterator[Spec]:
    """Yield specs that an export has nothing against: its own examples, and several published forms of decoder."""
    bench, export = subject.bench, subject.by_itself()
    found: list[Spec] = []
    for number, example in enumerate(getattr(export, "examples", ())):
        found.append(bench.parse({**bench.base, "model": {**bench.base["model"], **example}}))
        told = export.blockers(found[-1])
        hold(not told, f"it has something against its own example {number}: `{told[0][0] if told else ''}`")
    for family, variant in product(FAMILIES, VARIANTS):
        model = {**bench.base["model"], "hidden_dim": 24, "context_window": 40, **family}
        spec = bench.parse({**bench.base, "model": model}, variant)
        if spec not in found and not export.blockers(spec):
            found.append(spec)
    yield from found
    if not found:
        no_promise("no form of decoder that is tried here fits it, and it names no `examples`")


@check("weights-table", "export")
def weights_table(subject: Subject) -> None:
    """Its table tells of every tensor of the other library's network, by its name and its shape, and of no others."""
    from transformers import AutoConfig, AutoModelForCausalLM

    export = subject.by_itself()
    for spec in fitting(subject):
        said = export.config(spec.model)
        state = subject.compiled(spec, "meta").model.state_dict()
        rest = {key: value for key, value in said.items() if key != "model_type"}
        with torch.device("meta"):
            theirs = AutoModelForCausalLM.from_config(AutoConfig.for_model(said["model_type"], **rest))
        name = type(theirs).__name__
        hold(
            name == export.architecture,
            f"its config.json makes a {name}, and its `architecture` is {export.architecture}",
        )
        wanted = {key: tuple(tensor.shape) for key, tensor in theirs.state_dict().items()}
        told: dict[str, tuple[int, ...]] = {}
        for weight in export.weights(spec.model, said):
            for key, tensor in weight.to_theirs([state[ours] for ours in weight.ours]).items():
                told[key] = tuple(tensor.shape)
        for key in {**wanted, **told}:
            hold(key in told, f"its table does not tell of `{key}`")
            hold(key in wanted, f"its table tells of `{key}`, which a {name} does not have")
            hold(told[key] == wanted[key], f"its table gives `{key}` the shape {told[key]}, and it is {wanted[key]}")


@check("reads-back", "export")
def reads_back(subject: Subject) -> None:
    """What it writes it reads as the same model, where it reads at all."""
    export = subject.by_itself()
    if not hasattr(export, "model_types"):
        no_promise("it only writes")
    with tempfile.TemporaryDirectory(dir=subject.bench.folder) as folder:
        for spec in fitting(subject):
            said = export.config(spec.model)
            kinds = export.model_types
            hold(said["model_type"] in kinds, f"it writes `{said['model_type']}`, and reads {', '.join(kinds)}")
            refused = list(getattr(export, "unreadable", lambda config: [])(said))
            hold(not refused, f"of its own config.json it cannot read {refused}")
            section = {"model": export.section(said, Path(folder))}
            again = parse_spec(dump_plain(section), registry=subject.bench.registry)
            hold(export.config(again.model) == said, "a spec made of its own config.json would be written otherwise")
            told = "; ".join(map(str, _misfits(subject, export, spec, again, said)))
            hold(not told, f"what it wrote does not fit the spec made of its config.json: {told}")


def _misfits(subject: Subject, export: Any, spec: Spec, again: Spec, said: dict[str, Any]) -> list[str]:
    table = list(export.weights(spec.model, said))
    written = as_theirs(subject.compiled(spec).model, table, torch.float32)
    shapes = {key: tuple(tensor.shape) for key, tensor in written.items()}
    stored: Any = type("Stored", (), {"shapes": shapes, "types": dict.fromkeys(shapes, "F32")})
    model = subject.compiled(again, "meta").model
    return misfits(model, list(export.weights(again.model, said)), stored, getattr(export, "leftovers", ()))


@check("left-out-keys", "export")
def left_out_keys(subject: Subject) -> None:
    """A key that a config.json leaves out means to it what transformers' own class says."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    export = subject.by_itself()
    kinds = getattr(export, "model_types", ())
    if not kinds:
        no_promise("it only writes")
    unreadable = getattr(export, "unreadable", lambda config: [])
    for kind, windowed in product(kinds, ({}, {"use_sliding_window": True})):
        short = {"model_type": kind, **windowed}
        whole = CONFIG_MAPPING[kind](**windowed).to_dict()
        one, other = ({key for key, _ in unreadable(config)} for config in (short, whole))
        hold(
            one == other,
            f"of a bare `{kind}` it refuses {one or 'nothing'}, and of one with all keys {other or 'nothing'}",
        )
        with tempfile.TemporaryDirectory(dir=subject.bench.folder) as folder:
            sections = [export.section(config, Path(folder)) for config in (short, whole)]
        hold(sections[0] == sections[1], f"a bare `{kind}` means another model to it than one with all keys")


@check("blockers", "export")
def blockers(subject: Subject) -> None:
    """What is in the way of a spec is told by keys that it has, each with a reason; and something is, of some spec."""
    export = subject.by_itself()
    hold(isinstance(export.architecture, str) and export.architecture, "its `architecture` is no name")
    blocked = 0
    for kind in NETWORK:
        for name in subject.bench.names(kind):
            try:
                spec = Subject(subject.bench, kind, name).spec
            except (NotApplicableError, BrokenError, SpecError):  # another component's business
                continue
            told = export.blockers(spec)
            for key, message in told:
                hold(says(spec.to_plain(), key), f"of a spec with {kind} `{name}` it names `{key}`, which is not there")
                hold(isinstance(message, str) and message.strip(), f"it gives no reason for `{key}`")
            blocked += bool(told)
    hold(blocked, "it has nothing against any spec that can be said")
