"""Specs made from what the registry says: one that chooses a given component, and random ones."""

import json
import typing
from functools import cache
from typing import Any, Literal

import attrs

from stlm.registry import identity_of, parse_spec
from stlm.registry.manager import Registry, installed
from stlm.spec import Code, Place, SpecError
from stlm.spec.canonical import components_of
from stlm.spec.declaration import REQUIRED, Block, Choice, Declaration, Derived, Option, Slot, declaration_of
from stlm.spec.document import document_from_text
from stlm.spec.scope import Opener
from stlm.spec.sections import SpecSections

PLAIN: dict[str, Any] = {
    "model": {
        "model_shell_type": "standard",
        "core_model_type": "generic",
        "embedding_model_type": "generic",
        "tokenizer_type": "gpt2",
        "lm_head_type": "generic",
        "positional_encoding_type": "none",
        "initialization_fn": "normal",
        "hidden_dim": 64,
        "context_window": 16,
        "num_layers": 2,
        "attn": {"attn_type": "causal", "num_kv_heads": 2},
        "ffn": {"ffn_type": "generic", "ffn_dim": 128},
    },
    "trainer": {
        "trainer_type": "base_trainer",
        "dataset": "python_docs",
        "dataloader": "standard",
        "datasampling": "standard",
        "lr_scheduler": "cosine",
        "loss_fn": "cross_entropy",
        "batch_size": 2,
        "gradient_accumulation_steps": 1,
        "max_iters": 16,
        "warmup_iters": 2,
        "optimizer": {"optimizer_name": "AdamW"},
    },
    "general": {"device": "cpu"},
}
"""A small spec from which one that chooses another component departs."""

NUMBERS = (16, 1, 2, 4, 64, 256, 512, 1024, 0, 0.5, 0.25, 1e-3, 0.125)
WORDS = ("example", "./corpus", "a", "")


@cache
def own() -> Registry:
    """What stlm itself brings; packages beside it are held to the kits by tests of their own."""
    return installed().only({"stlm"})


def members(kind: str, registry: Registry) -> list[str]:
    """Names that choose each component of a kind: its own, and for a family one that it accepts."""
    names = []
    for found in registry.all_of(kind):
        identity = identity_of(found.cls)
        assert identity is not None
        if not identity.is_family:
            names.append(identity.name)
            continue
        accepts = getattr(found.cls, "accepts", lambda _: True)
        names.extend([identity.prefix + word for word in WORDS if word and accepts(identity.prefix + word)][:1])
    return names


def good_values(slot: Option, wanted: Any) -> list[Any]:
    """Values that an option takes, as far as its type and its checks say, the plainest first."""
    default = [] if slot.default is REQUIRED or isinstance(slot.default, Derived) else [slot.default]
    return [v for v in [*default, *_typed(wanted)] if v is None or all(check.holds(v) for check in slot.checks)]


def _typed(wanted: Any) -> list[Any]:
    origin = typing.get_origin(wanted)
    if origin is Literal:
        return list(typing.get_args(wanted))
    if origin is tuple:
        inner = _typed(typing.get_args(wanted)[0])
        return [[], inner[:1], inner[:2]]
    if origin is not None:
        return [value for member in typing.get_args(wanted) for value in _typed(member)]
    known: dict[Any, list[Any]] = {
        int: [n for n in NUMBERS if isinstance(n, int)],
        float: [float(n) for n in NUMBERS],
        bool: [False, True],
        str: list(WORDS),
        type(None): [None],
        Any: [1],
    }
    return known[wanted]


@attrs.frozen
class Example:
    """A good spec, every value written, and where each slot that a component or section declares stands in it."""

    plain: dict[str, Any]
    scope: str  # the path of the mapping that holds the slots


@cache
def slots_by_path() -> dict[str, tuple[str, ...]]:
    """Where the language asks for each kind: the path of the type key, and what must be chosen for it to be there."""
    found: dict[str, tuple[str, ...]] = {}
    _reach(declaration_of(SpecSections), "", (), found, frozenset())
    return found


def _reach(
    declaration: Declaration,
    path: str,
    chosen: tuple[str, ...],
    found: dict[str, tuple[str, ...]],
    seen: frozenset[str],
) -> None:
    for slot in declaration.slots.values():
        here = f"{path}.{slot.key}" if path else slot.key
        if isinstance(slot, Choice) and slot.kind not in seen:
            _choose(slot.kind, here, path, slot.many, chosen, found, seen)
        elif isinstance(slot, Block) and slot.section is not None:
            _reach(declaration_of(slot.section), here, chosen, found, seen)
        elif isinstance(slot, Block) and slot.kind is not None and slot.kind not in seen:
            _choose(slot.kind, f"{here}.{slot.type_key}", here, False, chosen, found, seen)


def _choose(
    kind: str,
    key: str,
    scope: str,
    many: bool,
    chosen: tuple[str, ...],
    found: dict[str, tuple[str, ...]],
    seen: frozenset[str],
) -> None:
    for name in members(kind, own()):
        override = f"{key}={json.dumps([name] if many else name)}"
        found.setdefault(f"{kind} {name}", (*chosen, override))
        component = declaration_of(own().find(kind, name).cls)
        _reach(component, scope, (*chosen, override), found, seen | {kind})


@cache
def example(kind: str, name: str) -> Example:
    """A good spec that chooses a component: the plain one, changed, with what is then missing or optional filled in."""
    overrides = list(slots_by_path()[f"{kind} {name}"])
    tried: dict[str, int] = {}
    for _ in range(200):
        try:
            spec = parse_spec(json.dumps(PLAIN), [*overrides, *_filled(tried)])
        except SpecError as error:
            _mend(error, [*overrides, *_filled(tried)], tried)
            continue
        path, chosen = next(
            (p, c) for p, c in components_of(spec.sections) if c.selector == name and identity_of(type(c)).kind == kind
        )
        scope = path.rpartition(".")[0]
        absent = [s for f, s in declaration_of(type(chosen)).slots.items() if getattr(chosen, f) is None]
        blocks = {f"{scope}.{slot.key}": slot for slot in absent if isinstance(slot, Block)}
        if not blocks:
            return Example(spec.to_plain(), scope)
        for key, slot in blocks.items():
            _fill(key, slot, None, tried)
    raise AssertionError(f"no good spec found that chooses {kind} {name}")


_fillers: dict[str, list[Any]] = {}


def _filled(tried: dict[str, int]) -> list[str]:
    return [f"{path}={json.dumps(_fillers[path][i % len(_fillers[path])])}" for path, i in tried.items()]


def _mend(error: SpecError, overrides: list[str], tried: dict[str, int]) -> None:
    """Give a missing key a value, and another one to a key that a rule complains about."""
    for one in error.diagnostics:
        if one.code is Code.MISSING_KEY:
            slot, wanted = _slot_at(one.key, overrides)
            _fill(one.key, slot, wanted, tried)
        elif one.code is Code.RULE and one.key in tried:
            tried[one.key] += 1
        else:
            raise AssertionError(f"cannot mend {one.headline()}") from error


def _fill(path: str, slot: Slot, wanted: Any, tried: dict[str, int]) -> None:
    if isinstance(slot, Option):
        _fillers[path] = good_values(slot, wanted)
    elif isinstance(slot, Choice):
        _fillers[path] = list(members(slot.kind, own()))
    else:
        _fillers[path] = [{slot.type_key: name} for name in members(slot.kind, own())] if slot.kind else [{}]
    tried[path] = 0


def _slot_at(path: str, overrides: list[str]) -> tuple[Slot, Any]:
    """Find the slot of a key among the declarations that a spec with these overrides has in force."""
    root = document_from_text(json.dumps(PLAIN), "", overrides, own()).root
    opener = Opener(own(), lambda *_: None)
    for scope in opener.open(Block("", "", section=SpecSections), "", Place("", 1, 1), root).walk():
        for part, field, slot in scope.slots():
            if scope.at(slot.key) == path:
                return slot, part.declaration.types[field]
    raise AssertionError(f"nothing declares {path}")


def sections_of(spec_declaration: Declaration, path: str = "") -> list[tuple[str, Declaration]]:
    """The fixed sections inside a declaration, with their paths; those of components included by their own walk."""
    found = [(path, spec_declaration)]
    for slot in spec_declaration.slots.values():
        if isinstance(slot, Block) and slot.section is not None:
            here = f"{path}.{slot.key}" if path else slot.key
            found.extend(sections_of(declaration_of(slot.section), here))
    return found


@attrs.frozen
class Text:
    """YAML text, written line by line, and where each key and value came to stand (line, column; from 1)."""

    text: str
    keys: dict[str, tuple[int, int]]
    values: dict[str, tuple[int, int]]


def write(plain: dict[str, Any]) -> Text:
    """Write nested values as block YAML with JSON leaves, by means that share nothing with the reader."""
    lines: list[str] = []
    keys: dict[str, tuple[int, int]] = {}
    values: dict[str, tuple[int, int]] = {}

    def put(mapping: dict[str, Any], path: str, indent: int) -> None:
        for key, value in mapping.items():
            here = f"{path}.{key}" if path else key
            line = " " * indent + f"{key}:"
            keys[here] = (len(lines) + 1, indent + 1)
            if isinstance(value, dict) and value:
                lines.append(line)
                put(value, here, indent + 2)
            else:
                values[here] = (len(lines) + 1, len(line) + 2)
                lines.append(f"{line} {json.dumps(value)}")

    put(plain, "", 0)
    return Text("\n".join(lines) + "\n", keys, values)


def changed(plain: dict[str, Any], path: str, value: Any = None, *, key: str | None = None) -> dict[str, Any]:
    """A copy in which the value at ``path`` is another, or stands under another ``key``."""
    head, _, rest = path.partition(".")
    if rest:
        return {k: changed(v, rest, value, key=key) if k == head else v for k, v in plain.items()}
    if key is not None:
        return {key if k == head else k: v for k, v in plain.items()}
    return {k: value if k == head else v for k, v in plain.items()}


def drawn(draw: Any, declaration: Declaration | None = None) -> dict[str, Any]:
    """Draw a spec from the declarations: a component for each choice, a value or nothing for each option."""
    from hypothesis import strategies as st

    plain: dict[str, Any] = {}
    for field, slot in (declaration or declaration_of(SpecSections)).slots.items():
        wanted = (declaration or declaration_of(SpecSections)).types[field]
        if isinstance(slot, Option):
            if slot.default is not REQUIRED and draw(st.booleans()):
                continue
            plain[slot.key] = draw(st.sampled_from(good_values(slot, wanted)))
        elif isinstance(slot, Choice) and slot.listed is not None and draw(st.booleans()):
            member = declaration_of(slot.listed.member)
            plain[slot.key] = [drawn(draw, member) for _ in range(draw(st.integers(1, 2)))]
        elif isinstance(slot, Choice):
            names = members(slot.kind, own())
            chosen = [draw(st.sampled_from(names))] if names and not slot.many else []
            plain[slot.key] = chosen[0] if chosen else []
            for name in chosen:
                plain.update(drawn(draw, declaration_of(own().find(slot.kind, name).cls)))
        elif slot.section is not None:
            if slot.required or draw(st.booleans()):
                plain[slot.key] = drawn(draw, declaration_of(slot.section))
        elif not slot.optional or draw(st.booleans()):
            name = draw(st.sampled_from(members(str(slot.kind), own())))
            inner = drawn(draw, declaration_of(own().find(str(slot.kind), name).cls))
            plain[slot.key] = {str(slot.type_key): name, **inner}
    return plain
