"""Export as GPT-2: learned positions, layer norms, plain feed-forward networks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from stlm.components.export.checks import (
    Blocker,
    frame_blockers,
    frame_section,
    inner_blockers,
    mistyped,
    must_be,
    must_say,
    shown,
)
from stlm.registry import component

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_tanh": "gelu_new",
    "leakyrelu": "leaky_relu",
    "none": "linear",
    "relu": "relu",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "tanh": "tanh",
}
"""The names that transformers has for our activations."""

_READ = {theirs: ours for ours, theirs in ACTIVATIONS.items()} | {
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "swish": "silu",
}

_USUAL: dict[str, Any] = {
    "vocab_size": 50257,
    "n_positions": 1024,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "n_inner": None,
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "initializer_range": 0.02,
    "tie_word_embeddings": True,
}
"""What a config.json that leaves a key out means."""


@component("export", "gpt2")
class GPT2Export:
    """The architecture of GPT-2, as transformers' GPT2LMHeadModel computes it (Radford et al., 2019)."""

    architecture: ClassVar[str] = "GPT2LMHeadModel"
    model_types: ClassVar[tuple[str, ...]] = ("gpt2",)
    leftovers: ClassVar[tuple[str, ...]] = (".attn.bias", ".attn.masked_bias")

    def blockers(self, spec: Any) -> list[Blocker]:
        """Return what keeps the spec from being written as this architecture: keys, and what must be said there.

        Dropout is no blocker, because it acts in training only; shared weights are written as copies, and biases that
        the model does not have as zeros.
        """
        model = spec.model
        outer = [
            *frame_blockers(model),
            *must_be("model.positional_encoding_type", model.positional_encoding, "learned"),
        ]
        if frame_blockers(model):
            return outer
        attn, ffn = model.core_model.attn, model.core_model.ffn
        return [
            *outer,
            *must_be("model.attn.attn_type", attn, "causal"),
            *must_be("model.ffn.ffn_type", ffn, "generic"),
            *inner_blockers(model, "layer_norm"),
            *(_head_blockers(attn, model.hidden_dim) if attn.selector == "causal" else []),
            *(_activation_blockers(ffn) if ffn.selector == "generic" else []),
        ]

    def config(self, model: Any) -> dict[str, Any]:
        """Return what config.json says; no dropout, for theirs stands elsewhere than ours."""
        attn, ffn = model.core_model.attn, model.core_model.ffn
        return {
            "model_type": "gpt2",
            "vocab_size": model.tokenizer.vocab_size,
            "n_positions": model.positional_encoding.num_positions,
            "n_embd": model.hidden_dim,
            "n_layer": model.core_model.num_layers,
            "n_head": attn.num_q_heads,
            "n_inner": ffn.ffn_dim,
            "activation_function": ACTIVATIONS[ffn.activation.selector],
            "layer_norm_epsilon": model.norm_eps,
            "initializer_range": getattr(model.initialization, "std", _USUAL["initializer_range"]),
            "tie_word_embeddings": model.embedding_model.embedding_weight_tying,
            **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
        }

    def weights(self, model: Any, config: dict[str, Any]) -> Iterator[Any]:
        """Yield ours beside theirs. Theirs are (in, out), for they are convolutions of width 1, and have all biases."""
        from stlm.interchange.weights import Weight

        attn, ffn = model.core_model.attn, model.core_model.ffn
        hidden = model.hidden_dim
        linear = {
            "attn.qkv": ("attn.c_attn", attn.bias, 3 * hidden),
            "attn.out_proj": ("attn.c_proj", attn.bias, hidden),
            "ffn.up": ("mlp.c_fc", ffn.bias, ffn.ffn_dim),
            "ffn.down": ("mlp.c_proj", ffn.bias, hidden),
        }
        norms = {"attn.norm": "ln_1", "ffn.norm": "ln_2"}
        yield Weight("embedder.token_embedding.weight", "transformer.wte.weight")
        yield Weight("positional_encoding.position_embedding.weight", "transformer.wpe.weight")
        for i in range(model.core_model.num_layers):
            ours, theirs = f"core.blocks.{i}", f"transformer.h.{i}"
            for norm, name in norms.items():
                yield Weight(f"{ours}.{norm}.weight", f"{theirs}.{name}.weight")
                yield Weight(f"{ours}.{norm}.bias", f"{theirs}.{name}.bias")
            for layer, (name, has_bias, width) in linear.items():
                yield Weight(f"{ours}.{layer}.weight", f"{theirs}.{name}.weight", transposed=True)
                bias = f"{theirs}.{name}.bias"
                yield Weight(f"{ours}.{layer}.bias", bias) if has_bias else Weight.zeros(bias, width)
        yield Weight("head.norm.weight", "transformer.ln_f.weight")
        yield Weight("head.norm.bias", "transformer.ln_f.bias")
        yield Weight("head.linear.weight", "lm_head.weight", optional=model.embedding_model.embedding_weight_tying)

    def unreadable(self, config: dict[str, Any]) -> list[Blocker]:
        """Return the keys of a config.json that no spec can say, and what must stand there."""
        said = _USUAL | config
        found = mistyped(said, _USUAL)
        if found:
            return found
        if said["activation_function"] not in _READ:
            names = ", ".join(f"`{name}`" for name in sorted(_READ))
            found.append(("activation_function", f"must be one of {names}, not {shown(said['activation_function'])}"))
        if said["n_embd"] % max(1, said["n_head"]):
            found.append(("n_head", f"must divide `n_embd` {said['n_embd']}, {said['n_head']} does not"))
        return [
            *found,
            *must_say(config, "scale_attn_weights", True),
            *must_say(config, "scale_attn_by_inverse_layer_idx", False),
            *must_say(config, "add_cross_attention", False),
        ]

    def section(self, config: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Return the `model` section that a config.json means, apart from its dropout."""
        said = _USUAL | config
        inner = said["n_inner"]
        return {
            **frame_section(said["vocab_size"], folder),
            "positional_encoding_type": "learned",
            "initialization_fn": "normal",
            "std": float(said["initializer_range"]),
            "hidden_dim": said["n_embd"],
            "context_window": said["n_positions"],
            "norm_eps": float(said["layer_norm_epsilon"]),
            "embedding_weight_tying": said["tie_word_embeddings"],
            "lm_head_normalization": "layer_norm",
            "num_layers": said["n_layer"],
            "attn": {
                "attn_type": "causal",
                "num_kv_heads": said["n_head"],
                "bias": True,
                "normalization": "layer_norm",
            },
            "ffn": {
                "ffn_type": "generic",
                "ffn_dim": 4 * said["n_embd"] if inner is None else inner,
                "activation": _READ[said["activation_function"]],
                "bias": True,
                "normalization": "layer_norm",
            },
        }


def _head_blockers(attn: Any, hidden_dim: int) -> list[Blocker]:
    found = []
    if attn.num_kv_heads != attn.num_q_heads:
        found.append(
            ("model.attn.num_kv_heads", f"must equal `num_q_heads` {attn.num_q_heads}, not {attn.num_kv_heads}")
        )
    if attn.head_dim * attn.num_q_heads != hidden_dim:
        found.append(("model.attn.head_dim", f"must be `hidden_dim` / `num_q_heads`, not {attn.head_dim}"))
    return found


def _activation_blockers(ffn: Any) -> list[Blocker]:
    found = must_be("model.ffn.activation", ffn.activation, *ACTIVATIONS)
    if ffn.activation.selector == "leakyrelu" and ffn.activation.negative_slope != 0.01:
        slope = ffn.activation.negative_slope
        found.append(("model.ffn.negative_slope", f"must be 0.01, not {slope}"))
    return found
