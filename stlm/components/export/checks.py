"""What the exports have in common: comparing parts of a spec, by name, with what an architecture can express."""

from typing import Any

Blocker = tuple[str, str]
"""An absolute key of the spec, and what must be said there."""


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


def inner_blockers(model: Any, norm: str) -> list[Blocker]:
    """Compare what both architectures ask of a frame that fits: one norm everywhere, and nothing beyond their own."""
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
        found += must_be("model.attn.qk_norm", attn.qk_norm, "none")
    if head.lm_head_bias:
        found.append(("model.lm_head_bias", "must be false"))
    return found
