"""Export as Llama: rotary positions, RMS norms, gated feed-forward networks."""

from collections.abc import Mapping
from typing import Any, ClassVar

from stlm.components.export.checks import Blocker
from stlm.components.export.decoder import RotaryDecoder
from stlm.registry import component


@component("export", "llama")
class LlamaExport(RotaryDecoder):
    """The architecture of Llama, as transformers' LlamaForCausalLM computes it (Touvron et al., 2023).

    It also reads a Mistral (Jiang et al., 2023) and a Qwen2 (Yang et al., 2024), which compute the same where no
    sliding window is in use; Qwen2's q, k and v have a bias, and the projection behind them a bias of zeros.
    """

    architecture: ClassVar[str] = "LlamaForCausalLM"
    model_types: ClassVar[tuple[str, ...]] = ("llama", "mistral", "qwen2")
    usual: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "llama": {},
        "mistral": {
            "intermediate_size": 14336,
            "num_key_value_heads": 8,
            "max_position_embeddings": 131072,
            "sliding_window": 4096,
        },
        "qwen2": {
            "vocab_size": 151936,
            "intermediate_size": 22016,
            "num_key_value_heads": 32,
            "max_position_embeddings": 32768,
            "use_sliding_window": False,
            "sliding_window": 4096,
            "max_window_layers": 28,
        },
    }

    def blockers(self, spec: Any) -> list[Blocker]:
        """Return what is in the way; transformers' Llama insists that the heads divide the width, `head_dim` or not."""
        found = super().blockers(spec)
        model = spec.model
        heads = getattr(getattr(model.core_model, "attn", None), "num_q_heads", None)
        if heads is not None and model.hidden_dim % heads:
            found.append(("model.attn.num_q_heads", f"must divide `hidden_dim` {model.hidden_dim}, {heads} does not"))
        return found

    def config(self, model: Any) -> dict[str, Any]:
        """Return what config.json says."""
        return {"model_type": "llama", **super().config(model), "mlp_bias": model.core_model.ffn.bias}

    def said(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return a config.json with what it leaves out, and what the code of its type does whatever it says."""
        fixed = {
            "llama": {"sliding_window": None, "layer_types": None},
            "mistral": {"attention_bias": False, "mlp_bias": False},
            "qwen2": {"attention_bias": True, "mlp_bias": False},
        }
        return {**super().said(config), **fixed[config["model_type"]]}

    def has_out_bias(self, config: dict[str, Any]) -> bool:
        """Whether the projection behind attention has a bias where those before it have one."""
        return config["model_type"] != "qwen2"
