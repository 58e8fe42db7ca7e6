"""The same weights in transformers' own Llama, Qwen3 and GPT-2 give the same logits.

The tolerance of 1e-4 is for logits of size 1 to 10 in float32, summed in another order.
"""

import pytest
import torch
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from stlm.nn import Rotary

TOLERANCE = 1e-4


def _copy(target: nn.Parameter, *sources: torch.Tensor) -> None:
    with torch.no_grad():
        target.copy_(torch.cat(sources))


def _widen(model: nn.Module, seed: int) -> None:
    """Draw every parameter anew, norms and biases too, so that none stands at a value that hides a mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            around = 1.0 if name.endswith("weight") and ("norm" in name or "ln_" in name) else 0.0
            parameter.copy_(around + 0.2 * torch.randn(parameter.shape, generator=generator))


def _copy_llama(ours, theirs) -> None:
    _copy(ours.embedder.token_embedding.weight, theirs.model.embed_tokens.weight)
    _copy(ours.head.norm.weight, theirs.model.norm.weight)
    _copy(ours.head.weight, theirs.lm_head.weight)
    for block, layer in zip(ours.core.blocks, theirs.model.layers, strict=True):
        attn, mlp = layer.self_attn, layer.mlp
        _copy(block.attn.norm.weight, layer.input_layernorm.weight)
        _copy(block.ffn.norm.weight, layer.post_attention_layernorm.weight)
        _copy(block.attn.qkv.weight, attn.q_proj.weight, attn.k_proj.weight, attn.v_proj.weight)
        _copy(block.attn.out_proj.weight, attn.o_proj.weight)
        for mine, their in (
            (block.ffn.gate, mlp.gate_proj),
            (block.ffn.up, mlp.up_proj),
            (block.ffn.down, mlp.down_proj),
        ):
            _copy(mine.weight, their.weight)
            if their.bias is not None:
                _copy(mine.bias, their.bias)
        if attn.q_proj.bias is not None:
            _copy(block.attn.qkv.bias, attn.q_proj.bias, attn.k_proj.bias, attn.v_proj.bias)
            _copy(block.attn.out_proj.bias, attn.o_proj.bias)


@pytest.mark.parametrize("seq", [1, 5, 64])
@pytest.mark.parametrize(
    ("q_heads", "kv_heads", "head_dim", "tied", "bias"),
    [
        (4, 4, 8, False, False),
        (4, 2, 8, True, False),
        (6, 1, 4, False, True),
        (1, 1, 32, True, True),
        (4, 2, 16, False, False),
    ],
)
def test_llama_gives_the_same_logits(network, q_heads, kv_heads, head_dim, tied, bias, seq):
    hidden = 36 if q_heads == 6 else 32
    config = LlamaConfig(
        vocab_size=50, hidden_size=hidden, intermediate_size=56, num_hidden_layers=2, num_attention_heads=q_heads,
        num_key_value_heads=kv_heads, head_dim=head_dim, max_position_embeddings=64, rms_norm_eps=1e-5,
        tie_word_embeddings=tied, attention_bias=bias, mlp_bias=bias,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )  # fmt: skip
    theirs = LlamaForCausalLM(config).eval()
    _widen(theirs, seed=1)
    ours = network(
        hidden=hidden,
        q_heads=q_heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        ffn_dim=56,
        gated=True,
        tied=tied,
        bias=bias,
    )
    _copy_llama(ours, theirs)
    token_ids = torch.randint(50, (2, seq), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert (ours(token_ids) - theirs(token_ids).logits).abs().max() <= TOLERANCE


def _small(config_class: type, theta: float):
    return config_class(
        vocab_size=50, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=True,
        attention_bias=False, rope_parameters={"rope_type": "default", "rope_theta": theta},
    )  # fmt: skip


def test_llama_3s_slower_rotation_gives_the_same_logits(network):
    theirs = LlamaForCausalLM(_small(LlamaConfig, 500_000.0)).eval()
    _widen(theirs, seed=1)
    ours = network(kv_heads=2, ffn_dim=56, gated=True)
    ours.positional_encoding = Rotary(theta=500_000.0)
    _copy_llama(ours, theirs)
    token_ids = torch.randint(50, (2, 64), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert (ours(token_ids) - theirs(token_ids).logits).abs().max() <= TOLERANCE


def test_qwen3s_norms_of_q_and_k_give_the_same_logits(network):
    theirs = Qwen3ForCausalLM(_small(Qwen3Config, 10_000.0)).eval()
    _widen(theirs, seed=1)  # a norm after the rotation is the same as one before it where its weights are all equal
    ours = network(kv_heads=2, ffn_dim=56, gated=True, qk_norm=True)
    _copy_llama(ours, theirs)
    for block, layer in zip(ours.core.blocks, theirs.model.layers, strict=True):
        _copy(block.attn.q_norm.weight, layer.self_attn.q_norm.weight)
        _copy(block.attn.k_norm.weight, layer.self_attn.k_norm.weight)
    token_ids = torch.randint(50, (2, 64), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert (ours(token_ids) - theirs(token_ids).logits).abs().max() <= TOLERANCE


def _copy_gpt2(ours, theirs) -> None:
    body = theirs.transformer
    _copy(ours.embedder.token_embedding.weight, body.wte.weight)
    _copy(ours.positional_encoding.position_embedding.weight, body.wpe.weight)
    _copy(ours.head.weight, theirs.lm_head.weight)
    pairs = [(ours.head.norm, body.ln_f, False)]
    for block, layer in zip(ours.core.blocks, body.h, strict=True):
        pairs += [
            (block.attn.norm, layer.ln_1, False),
            (block.attn.qkv, layer.attn.c_attn, True),
            (block.attn.out_proj, layer.attn.c_proj, True),
            (block.ffn.norm, layer.ln_2, False),
            (block.ffn.up, layer.mlp.c_fc, True),
            (block.ffn.down, layer.mlp.c_proj, True),
        ]
    for mine, their, transposed in pairs:
        _copy(mine.weight, their.weight.t() if transposed else their.weight)
        _copy(mine.bias, their.bias)


@pytest.mark.parametrize("seq", [1, 64])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("name", "activation"), [("gelu_new", nn.GELU(approximate="tanh")), ("gelu", nn.GELU()), ("relu", nn.ReLU())]
)
def test_gpt2_gives_the_same_logits(network, name, activation, tied, seq):
    config = GPT2Config(
        vocab_size=50,
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=4,
        activation_function=name,
        tie_word_embeddings=tied,
    )
    theirs = GPT2LMHeadModel(config).eval()
    _widen(theirs, seed=1)
    ours = network(ffn_dim=128, norm="layer", positions="learned", bias=True, tied=tied, activation=activation)
    _copy_gpt2(ours, theirs)
    token_ids = torch.randint(50, (2, seq), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert (ours(token_ids) - theirs(token_ids).logits).abs().max() <= TOLERANCE
