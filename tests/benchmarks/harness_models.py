"""Models for comparing scores: transformers' own, drawn at random with some spread, as folders that both sides read."""

from pathlib import Path
from typing import Any

import torch

GPT2, LLAMA = "GPT-2", "Llama"


def make_model(kind: str, folder: Path, tokenizers: Path, **sizes: int) -> Path:
    """Write a model of a kind with the kind's own tokenizer, whose files are in the folder ``tokenizers``.

    Weights are drawn about five times as wide as a model starts, so that log-likelihoods of choices are far apart.
    """
    import transformers

    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "window": 512, **sizes}
    window = shape.pop("window")
    if kind == GPT2:
        ids = {"vocab_size": 50257, "bos_token_id": 50256, "eos_token_id": 50256}
        config: Any = transformers.GPT2Config(**shape, **ids, n_positions=window)
        model: Any = transformers.GPT2LMHeadModel(config)
    else:
        ids = {"vocab_size": 32000, "bos_token_id": 1, "eos_token_id": 2}
        more = {"intermediate_size": 2 * shape["hidden_size"], "num_key_value_heads": 2}
        config = transformers.LlamaConfig(**shape, **ids, **more, max_position_embeddings=window)
        model = transformers.LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            around = 1.0 if name.endswith("weight") and ("norm" in name or "ln_" in name) else 0.0
            parameter.copy_(around + 0.1 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(folder)
    write_tokenizer(kind, folder, tokenizers)
    return folder


def write_tokenizer(kind: str, folder: Path, tokenizers: Path) -> None:
    """Write the tokenizer of a kind as transformers loads it."""
    if kind == GPT2:
        from stlm.data.tokenizers.convert import to_huggingface
        from stlm.registry import make_component

        to_huggingface(make_component("tokenizer", "gpt2").build(None)).save(folder)
    else:
        from tokenizers.processors import TemplateProcessing
        from transformers import AutoTokenizer

        made = AutoTokenizer.from_pretrained(tokenizers / "llama_32k", legacy=False)
        start = TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
        made.backend_tokenizer.post_processor = start  # as its authors published it
        made.save_pretrained(folder)
