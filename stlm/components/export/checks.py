"""What the exports have in common: comparing a spec, or a config.json, with what can be expressed on the other side.

These are for the exports of plugins too, and kept as the contract of components is.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stlm.spec.diagnostics import shortened

Blocker = tuple[str, str]
"""An absolute key of the spec (or one of a config.json), and what must be said there."""


def must_be(key: str, found: Any, *allowed: str) -> list[Blocker]:
    """Return nothing where the component ``found`` at ``key`` goes by one of the ``allowed`` names, else a blocker."""
    if found.selector in allowed:
        return []
    names = " or ".join(f"`{name}`" for name in allowed)
    return [(key, f"must be {names}, not `{found.selector}`")]


def frame_blockers(model: Any) -> list[Blocker]:
    """Compare the parts that every published decoder has: shell, embedder, core and head of the classic form."""
    return [
        *must_be("model.model_shell_type", model.model_shell, "standard"),
        *must_be("model.embedding_model_type", model.embedding_model, "generic"),
        *must_be("model.core_model_type", model.core_model, "generic"),
        *must_be("model.lm_head_type", model.lm_head, "generic"),
    ]


def inner_blockers(model: Any, norm: str, qk_norm: str = "none") -> list[Blocker]:
    """Compare what the architectures ask of a frame that fits: one norm everywhere, and nothing beyond their own."""
    attn, ffn, head = model.core_model.attn, model.core_model.ffn, model.lm_head
    found = []
    for key, component in (
        ("model.attn.normalization", getattr(attn, "normalization", None)),
        ("model.ffn.normalization", getattr(ffn, "normalization", None)),
        ("model.lm_head_normalization", head.lm_head_normalization),
    ):
        if component is not None:
            found += must_be(key, component, norm)
    if hasattr(attn, "qk_norm"):
        found += must_be("model.attn.qk_norm", attn.qk_norm, qk_norm)
    if head.lm_head_bias:
        found.append(("model.lm_head_bias", "must be false"))
    return found


def mistyped(said: Mapping[str, Any], usual: Mapping[str, Any]) -> list[Blocker]:
    """List the keys of a config.json whose values are not of the type of the usual ones; None stands for a number."""
    names = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}
    found = []
    for key, value in usual.items():
        wanted = int if value is None else type(value)
        allowed = {float: (int, float)}.get(wanted, (wanted,))
        if type(said[key]) not in allowed and not (value is None and said[key] is None):
            found.append((key, f"must be {names[wanted]}, not {shown(said[key])}"))
        elif wanted in (int, float) and is_beyond(said[key], wanted):
            found.append((key, f"must be a number that fits in 64 bits, not {shown(said[key])}"))
    return found


def is_beyond(number: Any, kind: type) -> bool:
    """Whether an integer, which JSON may write of any length, is too large for 64 bits of a kind, int or float."""
    return isinstance(number, int) and abs(number) > (sys.float_info.max if kind is float else sys.maxsize)


def shown(value: Any) -> str:
    """Write a value of a config.json in a message, cut where it is long."""
    return shortened(repr(value))


def must_say(said: Mapping[str, Any], key: str, wanted: bool) -> list[Blocker]:
    """Return nothing where a config.json says what is ``wanted`` at ``key``, or nothing at all."""
    found = said.get(key, wanted)
    return [] if found is wanted else [(key, f"must be {str(wanted).lower()}, not {shown(found)}")]


def frame_section(vocab_size: int, folder: Path) -> dict[str, Any]:
    """Give the keys of a `model` section that every published decoder means."""
    return {
        "model_shell_type": "standard",
        "core_model_type": "generic",
        "embedding_model_type": "generic",
        "lm_head_type": "generic",
        "tokenizer_type": "hf",
        "tokenizer_name": str(folder),
        "vocab_size": vocab_size,
    }
