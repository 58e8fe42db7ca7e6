"""GPT-2: the same weights in transformers' own implementation give the same logits and gradients."""

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from tests.parity.networks import Compiled, batches, compare, compiled
from tests.parity.weights import Pair, connect, pair

GPT2 = """
model:
  model_shell_type: standard
  core_model_type: generic
  embedding_model_type: generic
  lm_head_type: generic
  lm_head_normalization: layer_norm
  positional_encoding_type: learned
  tokenizer_type: hf
  tokenizer_name: ./never-read
  vocab_size: 40
  hidden_dim: 24
  context_window: 20
  norm_eps: 0.05
  num_layers: 2
  attn: {attn_type: causal, num_kv_heads: 4, bias: true, normalization: layer_norm}
  ffn: {ffn_type: generic, ffn_dim: 40, activation: gelu_tanh, bias: true, normalization: layer_norm}
"""


def _theirs(made: Compiled, activation: str) -> GPT2LMHeadModel:
    said = made.options
    config = GPT2Config(
        vocab_size=said["vocab_size"], n_positions=said["context_window"], n_embd=said["hidden_dim"],
        n_layer=said["num_layers"], n_head=said["attn"]["num_q_heads"], n_inner=said["ffn"]["ffn_dim"],
        activation_function=activation, layer_norm_epsilon=said["norm_eps"],
        tie_word_embeddings=said["embedding_weight_tying"], attn_implementation="eager",
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def _pairs(ours, theirs) -> list[Pair]:
    body = theirs.transformer
    pairs = [*pair(ours.embedder.token_embedding, body.wte), *pair(ours.head.linear, theirs.lm_head)]
    pairs += pair(ours.positional_encoding.position_embedding, body.wpe)
    pairs += pair(ours.head.norm, body.ln_f)
    for block, layer in zip(ours.core.blocks, body.h, strict=True):
        pairs += [*pair(block.attn.norm, layer.ln_1), *pair(block.ffn.norm, layer.ln_2)]
        pairs += pair(block.attn.qkv, layer.attn.c_attn, transposed=True)
        pairs += pair(block.attn.out_proj, layer.attn.c_proj, transposed=True)
        pairs += pair(block.ffn.up, layer.mlp.c_fc, transposed=True)
        pairs += pair(block.ffn.down, layer.mlp.c_proj, transposed=True)
    return pairs


@pytest.mark.parametrize(
    ("activation", "their_name", "overrides"),
    [
        ("gelu_tanh", "gelu_new", []),
        ("gelu_tanh", "gelu_new", ["model.embedding_weight_tying=false", "model.attn.num_kv_heads=1"]),
        ("gelu", "gelu", ["model.attn.num_kv_heads=3", "model.norm_eps=1e-5"]),
        ("relu", "relu", ["model.num_layers=1"]),
    ],
)
def test_gpt2_gives_the_same_logits_and_gradients(agree, activation, their_name, overrides):
    made = compiled(GPT2, f"model.ffn.activation={activation}", *overrides)
    theirs = _theirs(made, their_name)
    pairs = _pairs(made.model, theirs)
    connect(made.model, theirs, pairs, seed=1)

    def call(ids, positions, real):
        return theirs(ids, attention_mask=None if real is None else real.long(), position_ids=positions).logits

    for batch in batches(40, 20, seed=2):
        compare(agree, made, call, "GPT-2 of transformers", pairs, batch)
