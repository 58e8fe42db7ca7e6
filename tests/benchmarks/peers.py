"""The usual ways of training a small GPT on a CPU, said again for measuring beside them.

`NanoGPT` and `nano_steps` do what the model and the loop of nanoGPT do (Karpathy, 2022): all logits at once, a list of
parameter groups for AdamW, a memmap that is opened for each batch, a loss read at each step. Names of parameters are
theirs, so that `from_nano` can copy weights to ours.
"""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Causal self-attention with q, k and v in one projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.width = heads, width

    def forward(self, x: Tensor) -> Tensor:
        """Shape: (batch, seq, width) -> the same."""
        batch, seq, width = x.size()
        q, k, v = self.c_attn(x).split(self.width, dim=2)
        k = k.view(batch, seq, self.heads, width // self.heads).transpose(1, 2)
        q = q.view(batch, seq, self.heads, width // self.heads).transpose(1, 2)
        v = v.view(batch, seq, self.heads, width // self.heads).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=0, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(batch, seq, width))


class MLP(nn.Module):
    """Two projections around an exact gelu."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc, self.gelu, self.c_proj = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: (batch, seq, width) -> the same."""
        return self.c_proj(self.gelu(self.c_fc(x)))


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(width), Attention(width, heads)
        self.ln_2, self.mlp = nn.LayerNorm(width), MLP(width)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: (batch, seq, width) -> the same."""
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class NanoGPT(nn.Module):
    """Learned positions, blocks, a norm and a head that is tied to the embedding."""

    def __init__(self, vocab: int, context: int, layers: int, heads: int, width: int) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, width), nn.Embedding(context, width)
        self.h = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.ln_f, self.lm_head = nn.LayerNorm(width), nn.Linear(width, vocab, bias=False)
        self.wte.weight = self.lm_head.weight
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))

    def forward(self, ids: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return all logits, and the mean loss."""
        x = self.wte(ids) + self.wpe(torch.arange(0, ids.shape[1], dtype=torch.long))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)
        return logits, loss


def nano_steps(
    model: NanoGPT, data: Path, starts: list[list[int]], context: int, rate: float
) -> Iterator[tuple[float, float]]:
    """Train a step on the windows that begin at each of ``starts``; yield its loss and its seconds."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95))
    model.train()

    def get_batch(rows: list[int]) -> tuple[Tensor, Tensor]:
        tokens = np.memmap(data, dtype=np.uint16, mode="r")
        x = torch.stack([torch.from_numpy(tokens[i : i + context].astype(np.int64)) for i in rows])
        y = torch.stack([torch.from_numpy(tokens[i + 1 : i + 1 + context].astype(np.int64)) for i in rows])
        return x, y

    x, y = get_batch(starts[0])
    for step in range(len(starts)):
        began = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = rate
        _, loss = model(x, y)
        x, y = get_batch(starts[(step + 1) % len(starts)])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield loss.item(), time.perf_counter() - began


def from_nano(model: NanoGPT, ours: nn.Module) -> None:
    """Copy the weights to a network of stlm's of the same shape."""
    names = {
        "embedder.token_embedding.weight": "wte.weight",
        "positional_encoding.position_embedding.weight": "wpe.weight",
        "head.norm": "ln_f",
        "attn.norm": "ln_1",
        "attn.qkv": "attn.c_attn",
        "attn.out_proj": "attn.c_proj",
        "ffn.norm": "ln_2",
        "ffn.up": "mlp.c_fc",
        "ffn.down": "mlp.c_proj",
        "core.blocks": "h",
    }
    theirs = model.state_dict()
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            for mine, their in names.items():
                name = name.replace(mine, their)
            parameter.copy_(theirs[name])


def llama_of(vocab: int, width: int, layers: int, heads: int) -> nn.Module:
    """Make transformers' Llama, with weights that are the same each time."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab,
            hidden_size=width,
            intermediate_size=1024,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=512,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
        )
    )


def from_llama(model: nn.Module, ours: nn.Module) -> None:
    """Copy the weights of transformers' Llama to a network of stlm's of the same shape."""
    theirs = model.state_dict()
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            layer = name.replace("core.blocks", "model.layers")
            parts = {
                "embedder.token_embedding.weight": ["model.embed_tokens.weight"],
                "head.norm.weight": ["model.norm.weight"],
                "attn.norm.weight": [layer.replace("attn.norm", "input_layernorm")],
                "attn.qkv.weight": [layer.replace("attn.qkv", f"self_attn.{part}_proj") for part in "qkv"],
                "attn.out_proj.weight": [layer.replace("attn.out_proj", "self_attn.o_proj")],
                "ffn.norm.weight": [layer.replace("ffn.norm", "post_attention_layernorm")],
                "ffn.gate.weight": [layer.replace("ffn.gate", "mlp.gate_proj")],
                "ffn.up.weight": [layer.replace("ffn.up", "mlp.up_proj")],
                "ffn.down.weight": [layer.replace("ffn.down", "mlp.down_proj")],
            }
            wanted = next(there for end, there in parts.items() if name.endswith(end))
            parameter.copy_(torch.cat([theirs[part] for part in wanted]))
