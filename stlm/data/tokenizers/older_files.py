"""Tokenizers from files older than `tokenizer.json`: a sentencepiece model, or GPT-2's vocabulary and merges."""

import logging
from pathlib import Path
from typing import Any

from stlm.data.quiet import silenced
from stlm.data.storage import read_json
from stlm.data.tokenizers.huggingface import byte_characters, failing_as
from stlm.spec.errors import WorkError

_SAMPLES = ("The cat sat.", "  two  blanks\n\t", "naïve 東京 🙂 2026")
OLDER_FILES = ("tokenizer.model", "vocab.json", "tokenizer_config.json")


def from_older_files(name: str, *, local_only: bool) -> tuple[Any, dict[str, Any]]:
    """Let transformers convert the tokenizer of a folder or a hub; it is slow to import, hence the last resort.

    Beside the tokenizer comes what it says about its special tokens.
    """
    if Path(name).is_dir() and _is_bare(Path(name)):
        return _byte_level(Path(name)), {}

    from transformers import AutoTokenizer

    model = _find(name, "tokenizer.model", local_only=local_only)
    if model is not None:
        _require_sentencepiece(name)
    with failing_as(f"tokenizer `{name}` cannot be loaded"), silenced(logging.CRITICAL):
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local_only, trust_remote_code=False)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise WorkError(f"tokenizer `{name}` has no fast form, and only those can be used")
    if model is not None:
        _check_conversion(name, model, backend)
    return backend, {role: getattr(tokenizer, role) for role in ("eos_token", "mask_token", "bos_token")}


def _is_bare(folder: Path) -> bool:
    """Whether there are a vocabulary that writes bytes as GPT-2's does and its merges, and nothing that says more."""
    said = any((folder / file).exists() for file in ("tokenizer_config.json", "config.json"))
    vocab = read_json(folder / "vocab.json")
    known = isinstance(vocab, dict) and set(byte_characters()) <= set(vocab)
    return known and not said and (folder / "merges.txt").is_file()


def _byte_level(folder: Path) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    with failing_as(f"a tokenizer cannot be read from `{folder}`"):
        model: Any = models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
        backend = Tokenizer(model)
    words: Any = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.pre_tokenizer = words
    backend.decoder = decoders.ByteLevel()
    return backend


def _check_conversion(name: str, model: Path, backend: Any) -> None:
    """Refuse a conversion that gives other ids than sentencepiece does; some versions of transformers make such."""
    import sentencepiece
    import transformers

    with failing_as(f"tokenizer `{name}` cannot be loaded"):
        theirs = sentencepiece.SentencePieceProcessor(model_file=str(model))
        same = all(backend.encode(t, add_special_tokens=False).ids == theirs.encode(t) for t in _SAMPLES)
    if not same:
        raise WorkError(
            f"transformers {transformers.__version__} converts the sentencepiece model of tokenizer `{name}` into a "
            "tokenizer of other ids; install transformers 5.24 or later"
        )


def _find(name: str, file: str, *, local_only: bool) -> Path | None:
    """Find a file of a folder or a hub's model; that of a hub is downloaded."""
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    if Path(name).is_dir():
        return Path(name) / file if (Path(name) / file).is_file() else None
    with failing_as(f"tokenizer `{name}` cannot be loaded"):
        try:
            return Path(huggingface_hub.hf_hub_download(name, file, local_files_only=local_only))
        except EntryNotFoundError:  # as is the error of a file that is not in the cache
            return None


def _require_sentencepiece(name: str) -> None:
    from transformers.utils import is_protobuf_available, is_sentencepiece_available

    needed = {"sentencepiece": is_sentencepiece_available(), "protobuf": is_protobuf_available()}
    missing = [package for package, there in needed.items() if not there]
    if missing:
        raise WorkError(
            f"tokenizer `{name}` is a sentencepiece model (`tokenizer.model`), and to convert it "
            f"{' and '.join(missing)} must be installed: pip install 'stlm[sentencepiece]'"
        )
