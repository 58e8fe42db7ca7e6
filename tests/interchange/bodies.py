"""Published models, small and random, as transformers makes and stores them; and specs that stand on them."""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from stlm.registry import parse_spec
from stlm.spec import Spec
from stlm.spec.canonical import dump_plain

HIDDEN, LAYERS, HEADS, FFN, VOCAB, POSITIONS = 32, 2, 4, 48, 300, 32

_PLAIN = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
_USUAL = {**_PLAIN, "intermediate_size": FFN, "max_position_embeddings": POSITIONS}
_GROUPED = {**_USUAL, "num_key_value_heads": 2}
_SLIDING = {**_GROUPED, "sliding_window": 4}

OPTIONS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "n_positions": POSITIONS},
    "llama": _GROUPED,
    "opt": {**_PLAIN, "ffn_dim": FFN, "max_position_embeddings": POSITIONS, "word_embed_proj_dim": 16},
    "qwen2": _GROUPED,
    "qwen3": {**_GROUPED, "head_dim": 16},
    "gpt_neox": {**_USUAL, "use_parallel_residual": True},
    "mistral": _SLIDING,
    "gemma2": {**_SLIDING, "head_dim": 8},
    "gemma3_text": {**_SLIDING, "head_dim": 8},
    "gptj": {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "n_positions": POSITIONS, "rotary_dim": 4},
    "falcon": _PLAIN,
    "mixtral": {**_GROUPED, "num_local_experts": 4},
    "bloom": {"hidden_size": HIDDEN, "n_layer": LAYERS, "n_head": HEADS},
    "mamba": {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS},
    "bert": _USUAL,
    "roberta": {**_USUAL, "max_position_embeddings": POSITIONS + 2},
    "distilbert": {
        "dim": HIDDEN,
        "n_layers": LAYERS,
        "n_heads": HEADS,
        "hidden_dim": FFN,
        "max_position_embeddings": POSITIONS,
    },
    "modernbert": {**_USUAL, "local_attention": 4, "global_attn_every_n_layers": 2},
    "electra": {**_USUAL, "embedding_size": 16},
    "t5": {"d_model": HIDDEN, "num_layers": LAYERS, "num_heads": HEADS, "d_ff": FFN, "d_kv": 8},
}
"""What makes each kind of model small."""

DECODERS = ("gpt2", "llama", "opt", "qwen2", "qwen3", "gpt_neox", "mistral", "gemma2", "gemma3_text", "gptj", "falcon")
ENCODERS = ("bert", "roberta", "distilbert", "modernbert")


def config_of(kind: str, **more: Any) -> Any:
    """Make a small config; the tokens that begin and end a text are given ids that it has."""
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2} if kind != "roberta" else {}
    return CONFIG_MAPPING[kind](**{"vocab_size": VOCAB, **special, **OPTIONS[kind], **more})


def publish(folder: Path, kind: str, *, whole: bool = False, seed: int = 0, **more: Any) -> Any:
    """Store a random model in a folder and return it; its matrices are wide enough that everything has a say."""
    torch.manual_seed(seed)
    auto = transformers.AutoModelForCausalLM if whole else transformers.AutoModel
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = auto.from_config(config_of(kind, **more)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    transformers.logging.set_verbosity(level)
    transformers.logging.enable_progress_bar()
    return model


def plain(folder: Path | str, **model: Any) -> dict[str, Any]:
    """Say a model that stands on a body; None leaves a key out, and `seed` is the general one."""
    said = {
        "model_shell_type": "standard",
        "core_model_type": "hf_core",
        "hf_model_name": str(folder),
        "embedding_model_type": "generic",
        "lm_head_type": "generic",
        "lm_head_normalization": "none",
        "positional_encoding_type": "none",
        "tokenizer_type": "hf",
        "tokenizer_name": "not-needed",
        "vocab_size": VOCAB,
        "context_window": 16,
        **model,
    }
    general = {"device": "cpu", "seed": said.pop("seed", 42)}
    return {"model": {k: v for k, v in said.items() if v is not None}, "general": general}


def spec_of(folder: Path | str, **model: Any) -> Spec:
    """Resolve a spec that stands on a body."""
    return parse_spec(dump_plain(plain(folder, **model)))


def whole_spec(folder: Path | str, published: Any, **model: Any) -> Spec:
    """Resolve a spec of a whole published model, tied and with a bias as that is."""
    head = published.get_output_embeddings()
    tied = head.weight is published.get_input_embeddings().weight
    ends = {"embedding_weight_tying": tied, "lm_head_bias": getattr(head, "bias", None) is not None}
    return spec_of(folder, **{"hf_load_embeddings": True, **ends, **model})
