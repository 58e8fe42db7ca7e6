"""Export as Qwen3: a Llama that norms each head's q and k."""

from collections.abc import Mapping
from typing import Any, ClassVar

from stlm.components.export.checks import Blocker
from stlm.components.export.decoder import RotaryDecoder
from stlm.registry import component


@component("export", "qwen3")
class Qwen3Export(RotaryDecoder):
    """The architecture of Qwen3, as transformers' Qwen3ForCausalLM computes it (Yang et al., 2025)."""

    architecture: ClassVar[str] = "Qwen3ForCausalLM"
    model_types: ClassVar[tuple[str, ...]] = ("qwen3",)
    qk_norm: ClassVar[str] = "rms_norm"
    usual: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "qwen3": {
            "vocab_size": 151936,
            "intermediate_size": 22016,
            "num_key_value_heads": 32,
            "head_dim": 128,
            "max_position_embeddings": 32768,
            "use_sliding_window": False,
            "sliding_window": 4096,
            "max_window_layers": 28,
        }
    }

    def blockers(self, spec: Any) -> list[Blocker]:
        """Return what is in the way; its feed-forward network has no bias."""
        found = super().blockers(spec)
        ffn = getattr(spec.model.core_model, "ffn", None)
        return [*found, ("model.ffn.bias", "must be false")] if getattr(ffn, "bias", False) else found

    def config(self, model: Any) -> dict[str, Any]:
        """Return what config.json says."""
        return {"model_type": "qwen3", **super().config(model), "use_sliding_window": False, "sliding_window": None}

    def said(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return a config.json with what it leaves out; its feed-forward network has no bias, whatever it says."""
        return {**super().said(config), "mlp_bias": False}
