"""Export as GPT-2: learned positions, layer norms, plain feed-forward networks."""

from typing import Any

from stlm.components.activation.gelu import GELU
from stlm.components.activation.gelu_tanh import GELUTanh
from stlm.components.activation.leakyrelu import LeakyReLU
from stlm.components.activation.none import NoActivation
from stlm.components.activation.relu import ReLU
from stlm.components.activation.sigmoid import Sigmoid
from stlm.components.activation.silu import SiLU
from stlm.components.activation.tanh import Tanh
from stlm.components.attention.causal import CausalAttention
from stlm.components.export.checks import Blocker, frame_blockers, inner_blockers, must_be
from stlm.components.ffn.generic import GenericFFN
from stlm.components.norm.layer_norm import LayerNorm
from stlm.components.positional_encoding.learned import Learned
from stlm.registry import component

ACTIVATIONS: dict[type, str] = {
    GELU: "gelu",
    GELUTanh: "gelu_new",
    LeakyReLU: "leaky_relu",
    NoActivation: "linear",
    ReLU: "relu",
    Sigmoid: "sigmoid",
    SiLU: "silu",
    Tanh: "tanh",
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
            *must_be("model.positional_encoding_type", model.positional_encoding, Learned),
        ]
        if frame_blockers(model):
            return outer
        attn, ffn = model.core_model.attn, model.core_model.ffn
        return [
            *outer,
            *must_be("model.attn.attn_type", attn, CausalAttention),
            *must_be("model.ffn.ffn_type", ffn, GenericFFN),
            *inner_blockers(model, LayerNorm),
            *(_head_blockers(attn, model.hidden_dim) if isinstance(attn, CausalAttention) else []),
            *(_activation_blockers(ffn) if isinstance(ffn, GenericFFN) else []),
        ]


def _head_blockers(attn: CausalAttention, hidden_dim: int) -> list[Blocker]:
    found = []
    if attn.num_kv_heads != attn.num_q_heads:
        found.append(
            ("model.attn.num_kv_heads", f"must equal `num_q_heads` {attn.num_q_heads}, not {attn.num_kv_heads}")
        )
    if attn.head_dim * attn.num_q_heads != hidden_dim:
        found.append(("model.attn.head_dim", f"must be `hidden_dim` / `num_q_heads`, not {attn.head_dim}"))
    return found


def _activation_blockers(ffn: GenericFFN) -> list[Blocker]:
    found = must_be("model.ffn.activation", ffn.activation, *ACTIVATIONS)
    if isinstance(ffn.activation, LeakyReLU) and ffn.activation.negative_slope != 0.01:
        slope = ffn.activation.negative_slope
        found.append(("model.ffn.negative_slope", f"must be 0.01, not {slope}"))
    return found
