"""An architecture whose fused projection holds its rows in another order than ours, and that is only written."""

from collections.abc import Iterator
from typing import Any, ClassVar

from stlm.components.export.checks import Blocker, frame_blockers, inner_blockers, must_be
from stlm.registry import component


@component("export", "neox")
class NeoXExport:
    """GPT-NeoX without parallel residuals, as transformers' GPTNeoXForCausalLM computes it (Black et al., 2022)."""

    architecture: ClassVar[str] = "GPTNeoXForCausalLM"

    def blockers(self, spec: Any) -> list[Blocker]:
        """Return what is in the way: it rotates q and k as Llama does, and is GPT-2 apart from that."""
        model = spec.model
        outer = [
            *frame_blockers(model),
            *must_be("model.positional_encoding_type", model.positional_encoding, "rope"),
        ]
        if frame_blockers(model):
            return outer
        attn, ffn = model.core_model.attn, model.core_model.ffn
        found = [
            *outer,
            *must_be("model.attn.attn_type", attn, "causal"),
            *must_be("model.ffn.ffn_type", ffn, "generic"),
            *inner_blockers(model, "layer_norm"),
        ]
        if ffn.selector == "generic":
            found += must_be("model.ffn.activation", ffn.activation, "gelu")
        if attn.selector == "causal" and not _is_whole(attn, model.hidden_dim):
            found.append(("model.attn.num_kv_heads", "must be as many as `num_q_heads`, and fill the width"))
        return found

    def config(self, model: Any) -> dict[str, Any]:
        """Return what config.json says."""
        core = model.core_model
        theta = model.positional_encoding.rope_theta
        return {
            "model_type": "gpt_neox",
            "vocab_size": model.tokenizer.vocab_size,
            "hidden_size": model.hidden_dim,
            "intermediate_size": core.ffn.ffn_dim,
            "num_hidden_layers": core.num_layers,
            "num_attention_heads": core.attn.num_q_heads,
            "max_position_embeddings": model.context_window,
            "layer_norm_eps": model.norm_eps,
            "hidden_act": "gelu",
            "rotary_pct": 1.0,
            "rope_parameters": {"rope_type": "default", "rope_theta": theta, "partial_rotary_factor": 1.0},
            "use_parallel_residual": False,
            "tie_word_embeddings": model.embedding_model.embedding_weight_tying,
            "attention_bias": core.attn.bias,
        }

    def weights(self, model: Any, config: dict[str, Any]) -> Iterator[Any]:
        """Yield ours beside theirs: they keep q, k and v of each head together, we those of all heads."""
        from stlm.interchange import Weight

        core, hidden = model.core_model, model.hidden_dim
        heads, head_dim = core.attn.num_q_heads, core.attn.head_dim
        order = tuple(
            part * hidden + head * head_dim + i for head in range(heads) for part in range(3) for i in range(head_dim)
        )
        yield Weight("embedder.token_embedding.weight", "gpt_neox.embed_in.weight")
        for n in range(core.num_layers):
            ours, theirs = f"core.blocks.{n}", f"gpt_neox.layers.{n}"
            for kind in ("weight", "bias"):
                yield Weight(f"{ours}.attn.norm.{kind}", f"{theirs}.input_layernorm.{kind}")
                yield Weight(f"{ours}.ffn.norm.{kind}", f"{theirs}.post_attention_layernorm.{kind}")
            for kind in ("weight", "bias")[: 1 + core.attn.bias]:
                yield Weight(f"{ours}.attn.qkv.{kind}", f"{theirs}.attention.query_key_value.{kind}", order=order)
                yield Weight(f"{ours}.attn.out_proj.{kind}", f"{theirs}.attention.dense.{kind}")
            for name, layer, width in (("dense_h_to_4h", "up", core.ffn.ffn_dim), ("dense_4h_to_h", "down", hidden)):
                yield Weight(f"{ours}.ffn.{layer}.weight", f"{theirs}.mlp.{name}.weight")
                bias = f"{theirs}.mlp.{name}.bias"
                yield Weight(f"{ours}.ffn.{layer}.bias", bias) if core.ffn.bias else Weight.zeros(bias, width)
        for kind in ("weight", "bias"):
            yield Weight(f"head.norm.{kind}", f"gpt_neox.final_layer_norm.{kind}")
        tied = model.embedding_model.embedding_weight_tying
        yield Weight("head.linear.weight", "lm_head.weight", optional=tied)


def _is_whole(attn: Any, hidden_dim: int) -> bool:
    return attn.num_kv_heads == attn.num_q_heads and attn.num_q_heads * attn.head_dim == hidden_dim
