"""Llama and Qwen3: the same weights in transformers' own implementation give the same logits and gradients."""

import pytest
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from tests.parity.networks import Compiled, batches, compare, compiled
from tests.parity.weights import Pair, connect, pair

LLAMA = """
model:
  model_shell_type: standard
  core_model_type: generic
  embedding_model_type: generic
  embedding_weight_tying: false
  lm_head_type: generic
  positional_encoding_type: rope
  tokenizer_type: hf
  tokenizer_name: ./never-read
  vocab_size: 40
  hidden_dim: 24
  context_window: 20
  norm_eps: 0.05
  num_layers: 2
  attn: {attn_type: causal, num_kv_heads: 2, num_q_heads: 4}
  ffn: {ffn_type: silu_ffn, ffn_dim: 40}
"""


def _config(kind: type, made: Compiled, **more):
    said = made.options
    return kind(
        vocab_size=said["vocab_size"], hidden_size=said["hidden_dim"], intermediate_size=said["ffn"]["ffn_dim"],
        num_hidden_layers=said["num_layers"], num_attention_heads=said["attn"]["num_q_heads"],
        num_key_value_heads=said["attn"]["num_kv_heads"], head_dim=said["attn"]["head_dim"],
        max_position_embeddings=said["context_window"], rms_norm_eps=said["norm_eps"],
        tie_word_embeddings=said["embedding_weight_tying"], attention_bias=said["attn"]["bias"],
        rope_parameters={"rope_type": "default", "rope_theta": said["rope_theta"]}, attn_implementation="eager", **more,
    )  # fmt: skip


def _pairs(ours, theirs) -> list[Pair]:
    pairs = [*pair(ours.embedder.token_embedding, theirs.model.embed_tokens), *pair(ours.head.linear, theirs.lm_head)]
    pairs += pair(ours.head.norm, theirs.model.norm)
    for block, layer in zip(ours.core.blocks, theirs.model.layers, strict=True):
        attn, mlp = layer.self_attn, layer.mlp
        pairs += [*pair(block.attn.norm, layer.input_layernorm), *pair(block.ffn.norm, layer.post_attention_layernorm)]
        pairs += pair(block.attn.qkv, attn.q_proj, attn.k_proj, attn.v_proj)
        pairs += pair(block.attn.out_proj, attn.o_proj)
        pairs += [*pair(block.ffn.gate, mlp.gate_proj), *pair(block.ffn.up, mlp.up_proj)]
        pairs += pair(block.ffn.down, mlp.down_proj)
        if hasattr(attn, "q_norm"):
            pairs += [*pair(block.attn.q_norm, attn.q_norm), *pair(block.attn.k_norm, attn.k_norm)]
    return pairs


def _compare(agree, made: Compiled, theirs: nn.Module, reference: str) -> None:
    pairs = _pairs(made.model, theirs)
    connect(made.model, theirs, pairs, seed=1)

    def call(ids, positions, real):
        return theirs(ids, attention_mask=None if real is None else real.long(), position_ids=positions).logits

    for batch in batches(40, 20, seed=3):
        compare(agree, made, call, reference, pairs, batch)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["model.attn.num_q_heads=2", "model.embedding_weight_tying=true"],
        ["model.attn.num_q_heads=6", "model.attn.num_kv_heads=1", "model.attn.bias=true", "model.ffn.bias=true"],
        ["model.attn.num_q_heads=6", "model.rope_theta=500000.0", "model.norm_eps=1e-5"],
        ["model.attn.head_dim=10", "model.rope_theta=50.0"],
        ["model.attn.num_q_heads=1", "model.attn.num_kv_heads=1", "model.num_layers=1"],
    ],
    ids=["grouped", "tied", "biased", "llama-3's rotation", "head_dim apart", "one head"],
)
def test_llama_gives_the_same_logits_and_gradients(agree, overrides):
    made = compiled(LLAMA, *overrides)
    theirs = LlamaForCausalLM(_config(LlamaConfig, made, mlp_bias=made.options["ffn"]["bias"])).eval()
    _compare(agree, made, theirs, "Llama of transformers")


@pytest.mark.parametrize(
    "overrides", [[], ["model.attn.num_q_heads=2", "model.attn.head_dim=8", "model.embedding_weight_tying=true"]]
)
def test_qwen3_with_norms_of_q_and_k_gives_the_same_logits_and_gradients(agree, overrides):
    """A norm after the rotation would give the same where its weights are all equal; these are not."""
    made = compiled(LLAMA, "model.attn.qk_norm=rms_norm", *overrides)
    _compare(agree, made, Qwen3ForCausalLM(_config(Qwen3Config, made)).eval(), "Qwen3 of transformers")
