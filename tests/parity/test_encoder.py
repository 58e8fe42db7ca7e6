"""Bidirectional attention: the same weights in torch's own encoder give the same logits and gradients."""

import pytest
import torch
from torch import nn

from tests.parity.networks import batches, compare, compiled
from tests.parity.test_gpt2 import GPT2
from tests.parity.weights import Pair, connect, pair


class _Encoder(nn.Module):
    """`torch.nn.TransformerEncoder` between an embedding and a map to the vocabulary; ``causal`` gives it a mask."""

    def __init__(self, said: dict, *, causal: bool) -> None:
        super().__init__()
        hidden = said["hidden_dim"]
        layer = nn.TransformerEncoderLayer(
            hidden, said["attn"]["num_q_heads"], said["ffn"]["ffn_dim"], dropout=0.0,
            activation=said["ffn"]["activation"], layer_norm_eps=said["norm_eps"], batch_first=True, norm_first=True,
        )  # fmt: skip
        self.tokens = nn.Embedding(said["vocab_size"], hidden)
        self.positions = nn.Embedding(said["context_window"], hidden)
        norm = nn.LayerNorm(hidden, eps=said["norm_eps"])
        self.body = nn.TransformerEncoder(layer, said["num_layers"], norm, enable_nested_tensor=False)
        self.head = nn.Linear(hidden, said["vocab_size"])
        self.causal = causal

    def forward(self, ids, positions, real):
        where = torch.arange(ids.shape[1]).unsqueeze(0) if positions is None else positions
        mask = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).triu(1) if self.causal else None
        x = self.tokens(ids) + self.positions(where)
        return self.head(self.body(x, mask=mask, src_key_padding_mask=None if real is None else ~real))


def _pairs(ours, theirs) -> list[Pair]:
    pairs = [*pair(ours.embedder.token_embedding, theirs.tokens), *pair(ours.head.linear, theirs.head)]
    pairs += pair(ours.positional_encoding.position_embedding, theirs.positions)
    pairs += pair(ours.head.norm, theirs.body.norm)
    for block, layer in zip(ours.core.blocks, theirs.body.layers, strict=True):
        pairs += [*pair(block.attn.norm, layer.norm1), *pair(block.ffn.norm, layer.norm2)]
        pairs.append(Pair(block.attn.qkv.weight, (layer.self_attn.in_proj_weight,)))
        pairs.append(Pair(block.attn.qkv.bias, (layer.self_attn.in_proj_bias,)))
        pairs += pair(block.attn.out_proj, layer.self_attn.out_proj)
        pairs += [*pair(block.ffn.up, layer.linear1), *pair(block.ffn.down, layer.linear2)]
    return pairs


@pytest.mark.parametrize("attn_type", ["bidirectional", "causal"])
@pytest.mark.parametrize("heads", [4, 1])
def test_torchs_encoder_gives_the_same_logits_and_gradients(agree, attn_type, heads):
    made = compiled(
        GPT2, f"model.attn.attn_type={attn_type}", f"model.attn.num_kv_heads={heads}", "model.ffn.activation=gelu",
        "model.embedding_weight_tying=false", "model.lm_head_bias=true",
    )  # fmt: skip
    theirs = _Encoder(made.options, causal=attn_type == "causal")
    pairs = _pairs(made.model, theirs)
    connect(made.model, theirs, pairs, seed=1)
    for batch in batches(40, 20, seed=4):
        if batch.real is not None and attn_type == "causal" and not batch.real[:, 0].all():
            continue  # torch gives NaN where padding in front leaves a query with nothing to see
        compare(agree, made, theirs, "TransformerEncoder of torch.nn", pairs, batch)
