"""Export as GPT-2: learned positions, layer norms, plain feed-forward networks."""

from typing import Any

from stlm.components.export.checks import Blocker, frame_blockers, inner_blockers, must_be
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


@component("export", "gpt2")
class GPT2Export:
    """The architecture of GPT-2, as transformers' GPT2LMHeadModel computes it (Radford et al., 2019)."""

    @property
    def architecture(self) -> str:
        """The name of the class in transformers."""
        return "GPT2LMHeadModel"

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
