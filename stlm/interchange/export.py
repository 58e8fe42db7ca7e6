"""A model as a Hugging Face folder: config.json, weights, tokenizer, and a page that says what it is."""

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from stlm.data.storage import read_json, umask, write_file, write_json
from stlm.data.tokenizers.convert import to_huggingface
from stlm.interchange.verify import check_logits, check_tokens
from stlm.interchange.weights import as_theirs
from stlm.registry.blame import blaming_component
from stlm.spec import Spec, UsageError
from stlm.spec.suggest import nearest

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SHARD = 5_000_000_000
"""Bytes of a file, above which the weights are divided among several, with an index."""


def dtype_named(name: str) -> torch.dtype:
    """Return the type that weights are written in. Raises `UsageError` for any other name."""
    if name not in DTYPES:
        there = ", ".join(f"`{n}`" for n in DTYPES)
        raise UsageError("; ".join((f"`{name}` is no type to write weights in: {there}", *nearest(name, DTYPES))))
    return DTYPES[name]


def write_model(
    folder: Path,
    model: torch.nn.Module,
    spec: Spec,
    export: Any,
    dtype: torch.dtype,
    eot: int | None,
) -> float:
    """Write config.json, generation_config.json and the weights; return how far transformers' logits are from ours.

    ``eot`` is the id of the end-of-text token, which also begins a text and pads, or None where it is not known. Raises
    `WorkError` where transformers does not compute the same with what was written.
    """
    with blaming_component(export, spec.registry):
        said = dict(export.config(spec.model))
        tensors = as_theirs(model, list(export.weights(spec.model, said)), dtype)
    with _refused_by_the_disk():
        _save(tensors, folder)
    tokens = {"bos_token_id": eot, "eos_token_id": eot}
    config = {
        "architectures": [export.architecture],
        **said,
        **tokens,
        "pad_token_id": None,
        "dtype": str(dtype).removeprefix("torch."),
        "transformers_version": importlib.metadata.version("transformers"),
    }
    write_json(folder / "config.json", config)
    if eot is not None:
        write_json(folder / "generation_config.json", {**tokens, "pad_token_id": eot})
    del tensors
    return check_logits(model, folder, spec.model.tokenizer.vocab_size, spec.model.context_window, dtype)


def _save(tensors: dict[str, torch.Tensor], folder: Path) -> None:
    from huggingface_hub import save_torch_state_dict

    save_torch_state_dict(tensors, folder, max_shard_size=_SHARD)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o666 & ~umask())  # safetensors makes them private


@contextmanager
def _refused_by_the_disk() -> Iterator[None]:
    """Turn what safetensors raises where the disk refuses into the `OSError` that it is."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(str(error)) from error


def write_tokenizer(folder: Path, tokenizer: Any, context_window: int) -> None:
    """Write the tokenizer as transformers reads it, to the same ids, with nothing added at the ends of a text.

    Raises `TypeError` where the tokenizer has no such form, `WorkError` where transformers makes other tokens of it.
    """
    theirs = to_huggingface(tokenizer)
    theirs.save(folder)
    backend = read_json(folder / "tokenizer.json")
    if backend["post_processor"] is not None:  # which is what would add something
        write_json(folder / "tokenizer.json", {**backend, "post_processor": None})
    config = read_json(folder / "tokenizer_config.json")
    more = {"bos_token": config["eos_token"], "pad_token": config["eos_token"], "model_max_length": context_window}
    write_json(folder / "tokenizer_config.json", {**config, **more, "clean_up_tokenization_spaces": False})
    check_tokens(tokenizer, folder)


def write_card(folder: Path, spec: Spec, architecture: str, parameters: int, has_tokenizer: bool) -> None:
    """Write the page that hubs show."""
    parts = {"model": "AutoModelForCausalLM"} | ({"tokenizer": "AutoTokenizer"} if has_tokenizer else {})
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags: [stlm]",
        "---",
        "# A small language model",
        "",
        f"Made with stlm {importlib.metadata.version('stlm')}, in the architecture `{architecture}`.",
        "",
        f"- {parameters:,} parameters, {spec.model.context_window:,} tokens of context",
        f"- spec `{spec.digest}`",
        "",
        "```python",
        f"from transformers import {', '.join(parts.values())}",
        "",
        *(f'{name} = {cls}.from_pretrained("PATH")' for name, cls in parts.items()),
        "```",
    ]
    write_file(folder / "README.md", "\n".join(lines) + "\n")
