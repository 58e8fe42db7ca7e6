"""What the exports have in common: comparing parts of a spec with what an architecture can express."""

from typing import Any

from stlm.components.core_model.generic import GenericCore
from stlm.components.embedding.generic import GenericEmbedding
from stlm.components.lm_head.generic import GenericHead
from stlm.components.model_shell.standard import StandardShell
from stlm.components.norm.none import NoNorm

Blocker = tuple[str, str]
"""An absolute key of the spec, and what must be said there."""


def must_be(key: str, found: Any, *allowed: type) -> list[Blocker]:
    """Return nothing where the component ``found`` at ``key`` is one of the ``allowed``, else the one blocker."""
    if isinstance(found, allowed):
        return []
    names = " or ".join(f"`{cls.__component__.name}`" for cls in allowed)  # type: ignore[attr-defined]
    return [(key, f"must be {names}, not `{found.selector}`")]


def frame_blockers(model: Any) -> list[Blocker]:
    """Compare the parts that every published decoder has: shell, embedder, core and head of the classic form."""
    return [
        *must_be("model.model_shell_type", model.model_shell, StandardShell),
        *must_be("model.embedding_model_type", model.embedding_model, GenericEmbedding),
        *must_be("model.core_model_type", model.core_model, GenericCore),
        *must_be("model.lm_head_type", model.lm_head, GenericHead),
    ]


def inner_blockers(model: Any, norm: type) -> list[Blocker]:
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
        found += must_be("model.attn.qk_norm", attn.qk_norm, NoNorm)
    if head.lm_head_bias:
        found.append(("model.lm_head_bias", "must be false"))
    return found
