"""Export as Llama: rotary positions, RMS norms, gated feed-forward networks."""

from typing import Any

from stlm.components.export.checks import Blocker, frame_blockers, inner_blockers, must_be
from stlm.registry import component


@component("export", "llama")
class LlamaExport:
    """The architecture of Llama, as transformers' LlamaForCausalLM computes it (Touvron et al., 2023)."""

    @property
    def architecture(self) -> str:
        """The name of the class in transformers."""
        return "LlamaForCausalLM"

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
        attn = model.core_model.attn
        found = [
            *outer,
            *must_be("model.attn.attn_type", attn, "causal"),
            *must_be("model.ffn.ffn_type", model.core_model.ffn, "silu_ffn"),
            *inner_blockers(model, "rms_norm"),
        ]
        heads = getattr(attn, "num_q_heads", None)
        if heads is not None and model.hidden_dim % heads:
            found.append(("model.attn.num_q_heads", f"must divide `hidden_dim` {model.hidden_dim}, {heads} does not"))
        return found
