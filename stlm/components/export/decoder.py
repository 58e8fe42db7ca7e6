"""What Llama and its kin have in common: rotary positions, RMS norms, gated feed-forward networks."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from stlm.components.export.checks import (
    Blocker,
    frame_blockers,
    frame_section,
    inner_blockers,
    is_beyond,
    mistyped,
    must_be,
    shown,
)
from stlm.registry import section
from stlm.spec.diagnostics import shortened

USUAL: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "head_dim": None,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "initializer_range": 0.02,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
}
"""What a Llama's config.json that leaves a key out means."""

_THETA = 10000.0
_NO_WINDOW = {"sliding_window": None, "use_sliding_window": True, "max_window_layers": 0}
_LAYERS = ("full_attention", "sliding_attention")


@section
class RotaryDecoder:
    """The layout of Llama's config.json and weights, which its kin share."""

    usual: ClassVar[Mapping[str, Mapping[str, Any]]]
    """For each `model_type` that is read, what a config.json that leaves a key out means."""
    qk_norm: ClassVar[str] = "none"
    leftovers: ClassVar[tuple[str, ...]] = (".rotary_emb.inv_freq",)

    def blockers(self, spec: Any) -> list[Blocker]:
        """Return what keeps the spec from being written as this architecture: keys, and what must be said there.

        Dropout is no blocker, because it acts in training only; shared weights are written as copies.
        """
        model = spec.model
        outer = [
            *frame_blockers(model),
            *must_be("model.positional_encoding_type", model.positional_encoding, "rope"),
        ]
        if frame_blockers(model):
            return outer
        return [
            *outer,
            *must_be("model.attn.attn_type", model.core_model.attn, "causal"),
            *must_be("model.ffn.ffn_type", model.core_model.ffn, "silu_ffn"),
            *inner_blockers(model, "rms_norm", self.qk_norm),
        ]

    def config(self, model: Any) -> dict[str, Any]:
        """Return what config.json says; the base of the rotation stands in both places, for readers of either age."""
        attn, theta = model.core_model.attn, model.positional_encoding.rope_theta
        return {
            "vocab_size": model.tokenizer.vocab_size,
            "hidden_size": model.hidden_dim,
            "intermediate_size": model.core_model.ffn.ffn_dim,
            "num_hidden_layers": model.core_model.num_layers,
            "num_attention_heads": attn.num_q_heads,
            "num_key_value_heads": attn.num_kv_heads,
            "head_dim": attn.head_dim,
            "hidden_act": "silu",
            "max_position_embeddings": model.context_window,
            "initializer_range": getattr(model.initialization, "std", USUAL["initializer_range"]),
            "rms_norm_eps": model.norm_eps,
            "rope_theta": theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": theta},
            "tie_word_embeddings": model.embedding_model.embedding_weight_tying,
            "attention_bias": attn.bias,
            "attention_dropout": 0.0,
        }

    def weights(self, model: Any, config: dict[str, Any]) -> Iterator[Any]:
        """Yield ours beside theirs: q, k and v are one matrix of ours, in that order."""
        from stlm.interchange.weights import Weight

        attn, ffn = model.core_model.attn, model.core_model.ffn
        rows = (attn.num_q_heads * attn.head_dim, *[attn.num_kv_heads * attn.head_dim] * 2)
        yield Weight("embedder.token_embedding.weight", "model.embed_tokens.weight")
        for i in range(model.core_model.num_layers):
            ours, theirs = f"core.blocks.{i}", f"model.layers.{i}"
            yield Weight(f"{ours}.attn.norm.weight", f"{theirs}.input_layernorm.weight")
            for kind in ("weight", "bias")[: 1 + attn.bias]:
                fused = tuple(f"{theirs}.self_attn.{name}_proj.{kind}" for name in "qkv")
                out = f"{theirs}.self_attn.o_proj.{kind}"
                yield Weight(f"{ours}.attn.qkv.{kind}", fused, rows=rows)
                yield Weight(
                    f"{ours}.attn.out_proj.{kind}", out if kind == "weight" or self.has_out_bias(config) else ()
                )
            for name in () if self.qk_norm == "none" else ("q_norm", "k_norm"):
                yield Weight(f"{ours}.attn.{name}.weight", f"{theirs}.self_attn.{name}.weight")
            yield Weight(f"{ours}.ffn.norm.weight", f"{theirs}.post_attention_layernorm.weight")
            for kind in ("weight", "bias")[: 1 + ffn.bias]:
                for name in ("gate", "up", "down"):
                    yield Weight(f"{ours}.ffn.{name}.{kind}", f"{theirs}.mlp.{name}_proj.{kind}")
        yield Weight("head.norm.weight", "model.norm.weight")
        yield Weight("head.linear.weight", "lm_head.weight", optional=model.embedding_model.embedding_weight_tying)

    def has_out_bias(self, config: dict[str, Any]) -> bool:
        """Whether the projection behind attention has a bias where those before it have one."""
        return True

    def said(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return a config.json with what it leaves out."""
        return {**USUAL, **self.usual[config["model_type"]], **config}

    def unreadable(self, config: dict[str, Any]) -> list[Blocker]:
        """Return the keys of a config.json that no spec can say, and what must stand there."""
        said = self.said(config)
        found = mistyped(said, USUAL) + mistyped(_NO_WINDOW | said, _NO_WINDOW)
        if found:
            return found
        if said["hidden_act"] not in ("silu", "swish"):  # two names of one function
            found.append(("hidden_act", f"must be `silu`, not {shown(said['hidden_act'])}"))
        return [*found, *_rope_blockers(said), *_window_blockers(_NO_WINDOW | said)]

    def section(self, config: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Return the `model` section that a config.json means, apart from its dropout."""
        said = self.said(config)
        heads, hidden = said["num_attention_heads"], said["hidden_size"]
        attn = {"attn_type": "causal", "num_kv_heads": said["num_key_value_heads"] or heads, "num_q_heads": heads}
        if said["head_dim"] is not None and said["head_dim"] * heads != hidden:
            attn["head_dim"] = said["head_dim"]
        if self.qk_norm != "none":
            attn["qk_norm"] = self.qk_norm
        return {
            **frame_section(said["vocab_size"], folder),
            "positional_encoding_type": "rope",
            "rope_theta": float(_rope(said).get("rope_theta", _THETA)),
            "initialization_fn": "normal",
            "std": float(said["initializer_range"]),
            "scale_residual": False,
            "hidden_dim": hidden,
            "context_window": said["max_position_embeddings"],
            "norm_eps": float(said["rms_norm_eps"]),
            "embedding_weight_tying": said["tie_word_embeddings"],
            "num_layers": said["num_hidden_layers"],
            "attn": attn | ({"bias": True} if said["attention_bias"] else {}),
            "ffn": {
                "ffn_type": "silu_ffn",
                "ffn_dim": said["intermediate_size"],
                **({"bias": True} if said["mlp_bias"] else {}),
            },
        }


def _rope(said: Mapping[str, Any]) -> dict[str, Any]:
    """Join what is said of the rotation: in `rope_parameters` (since transformers 5), or in keys beside it (before)."""
    inner = said.get("rope_scaling") or said.get("rope_parameters") or {}
    outer = {key: said[key] for key in ("rope_theta", "partial_rotary_factor") if said.get(key) is not None}
    return {**outer, **inner} if isinstance(inner, dict) else outer


def _rope_blockers(said: Mapping[str, Any]) -> list[Blocker]:
    key = "rope_scaling" if said.get("rope_scaling") else "rope_parameters"
    if not isinstance(said.get(key) or {}, dict):
        return [(key, f"must be a mapping, not {shown(said[key])}")]
    rope = _rope(said)
    found = []
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        found.append((key, f"must be of the type `default`, not {shown(kind)}"))
    for name in (name for name, value in rope.items() if isinstance(value, dict)):
        found.append((key, f"must be one for all layers, not another for `{shortened(name)}`"))
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        found.append(("partial_rotary_factor", f"must be 1.0, not {shown(rope['partial_rotary_factor'])}"))
    theta = rope.get("rope_theta", _THETA)
    if isinstance(theta, bool) or not isinstance(theta, int | float) or not theta > 0:
        found.append(("rope_theta", f"must be a positive number, not {shown(theta)}"))
    elif is_beyond(theta, float):
        found.append(("rope_theta", f"must be a number that fits in 64 bits, not {shown(theta)}"))
    return found


def _window_blockers(said: Mapping[str, Any]) -> list[Blocker]:
    """Find a sliding window that is in use: one that is shorter than the context, in layers that it is meant for."""
    window, context, layer_types = said["sliding_window"], said["max_position_embeddings"], said.get("layer_types")
    if layer_types is None:
        used = said["max_window_layers"] < said["num_hidden_layers"]
    elif isinstance(layer_types, list) and all(kind in _LAYERS for kind in layer_types):
        used = "sliding_attention" in layer_types
    else:
        return [("layer_types", f"must be `full_attention` in every layer, not {shown(layer_types)}")]
    if window is None or not (used and said["use_sliding_window"]) or window >= context:
        return []
    return [("sliding_window", f"must be null, or no less than `max_position_embeddings` {context}, not {window}")]
