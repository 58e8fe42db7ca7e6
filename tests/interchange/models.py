"""Small models on either side: runs as if they had been trained, and folders as transformers writes them."""

from pathlib import Path
from typing import Any

import tokenizers
import torch
from torch import nn

from stlm.compiler import compile
from stlm.data.storage import write_file
from stlm.registry import parse_spec
from stlm.registry.manager import Registry
from stlm.spec import Spec
from stlm.training.checkpoint import write_checkpoint
from stlm.training.folder import RunFolder

FRAME = """\
model:
  model_shell_type: standard
  core_model_type: generic
  embedding_model_type: generic
  lm_head_type: generic
  hidden_dim: 24
  context_window: 40
  num_layers: 2
  tokenizer_type: bpe
  vocab_size: 300
  tokenizer_dataset_name: {text}
  tokenizer_simplify: false
"""
LLAMA = """\
  positional_encoding_type: rope
  attn: {attn_type: causal, num_kv_heads: 2, num_q_heads: 4}
  ffn: {ffn_type: silu_ffn, ffn_dim: 40}
"""
QWEN3 = LLAMA.replace("num_q_heads: 4", "num_q_heads: 4, head_dim: 10, qk_norm: rms_norm")
GPT2 = """\
  positional_encoding_type: learned
  lm_head_normalization: layer_norm
  attn: {attn_type: causal, num_kv_heads: 4, bias: true, normalization: layer_norm}
  ffn: {ffn_type: generic, ffn_dim: 40, activation: gelu_tanh, bias: true, normalization: layer_norm}
"""


def spec_of(family: str, text: Path, *overrides: str, registry: Registry | None = None) -> Spec:
    """Resolve the spec of a family's parts."""
    paths = f"general: {{device: cpu, paths: {{data_dir: {text.parent}}}}}\n"
    return parse_spec(FRAME.format(text=text) + family + paths, overrides, registry=registry)


def widen(model: nn.Module, seed: int = 1) -> Any:
    """Draw every parameter anew, norms and biases too, so that none stands at a value that hides a mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            around = 1.0 if name.endswith("weight") and ("norm" in name or "ln_" in name) else 0.0
            parameter.copy_(around + 0.2 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def stored_run(spec: Spec, root: Path, *, tokenizer: bool = True) -> Path:
    """Write the folder of a run of this spec, with drawn weights, as training leaves it."""
    program = compile(spec, "cpu")
    widen(program.model)
    folder = RunFolder(root, spec.general.paths)
    state = {"step": 7, "tokens_seen": 0, "held_out_loss": None}
    write_checkpoint(folder, program, state, tokenizer=program.tokenizer if tokenizer else None)
    write_file(folder.spec, spec.dump())
    write_file(folder.source, spec.source_text)
    return root


def theirs(kind: str, **config: Any) -> Any:
    """A small model of transformers' own, with drawn weights: `theirs("Llama", num_key_value_heads=2)`."""
    import transformers

    small: dict[str, Any] = {"vocab_size": 300, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
    small |= {"max_position_embeddings": 40, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if kind != "GPT2":
        small |= {"intermediate_size": 40, "num_key_value_heads": 2, "head_dim": 6}
    of_kind = getattr(transformers, f"{kind}Config")(**{**small, **config})
    name = "GPT2LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM"
    return widen(getattr(transformers, name)(of_kind))


def save_tokenizer(folder: Path, *, eos: str | None = "</s>", adds_start: bool = True) -> None:
    """Write a byte-level tokenizer of 274 tokens beside a model, which begins each text with a token of its own."""
    import transformers

    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=274, special_tokens=["<s>", eos or "<end>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(["the cat saw the dog, and the dog saw the cats"] * 9, trainer)
    if adds_start:
        start = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
        backend.post_processor = start
    special = {"eos_token": eos} if eos else {}
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", **special).save_pretrained(folder)


def token_ids(vocab_size: int = 300, seq: int = 33) -> torch.Tensor:
    """Tokens drawn at random, (2, seq)."""
    return torch.randint(vocab_size, (2, seq), generator=torch.Generator().manual_seed(5))


def furthest(one: nn.Module, other: nn.Module) -> float:
    """How far the logits of two models are apart, whichever library they are of."""
    with torch.no_grad():
        a, b = (
            found if isinstance(found, torch.Tensor) else found.logits
            for found in (m(token_ids()) for m in (one, other))
        )
    assert a.abs().max() > 0.5, "logits of size 1, or a difference would say nothing"
    return float((a - b).abs().max())
