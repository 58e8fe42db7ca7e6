"""Find a Hugging Face tokenizer by a folder or a hub id, and load it."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from stlm.data.sources.hub.client import quiet, reach_hub
from stlm.data.sources.hub.download import downloaded
from stlm.data.sources.hub.errors import TOKENIZER, told
from stlm.data.sources.hub.listing import ASKING_SECONDS
from stlm.data.sources.hub.patience import SILENCE_SECONDS, within
from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer, read_backend, read_side_file, size_of, special_token
from stlm.data.tokenizers.older_files import OLDER_FILES, from_older_files
from stlm.data.tokenizers.tokenizer import check_size
from stlm.spec.errors import StlmError, UsageError, WorkError

_ENDS = ("<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>", "<|im_end|>")
_SIDE_FILES = ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "config.json")


def load_pretrained(
    name: str, promised_size: int, *, room_to_spare: bool = False, end_of_text: str | None = None
) -> HuggingFaceTokenizer:
    """Load the tokenizer in the folder ``name``, or of the hub's model ``name``.

    Its size must be ``promised_size``; with ``room_to_spare`` it may be smaller, as for models with padded embeddings.
    ``end_of_text`` is for files that name no such token.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        found = _from_folder(folder)
    elif folder.exists() or name.startswith((".", "~", os.sep)) or name.count("/") > 1:
        raise UsageError(f"tokenizer `{name}` is not a folder (looked in `{Path.cwd()}`)")
    else:
        found = _from_hub(name)
    backend, configs = found
    loaded = size_of(backend)
    if not (room_to_spare and loaded < promised_size):
        check_size(name, loaded, promised_size)
    eot = special_token(*configs, role="eos_token") or _end_by_id(backend, configs)
    eot = eot or end_of_text or next(_known_ends(backend), None)
    if eot is None or backend.token_to_id(eot) is None:
        raise WorkError(f"tokenizer `{name}` names no end-of-text token (`eos_token` in tokenizer_config.json)")
    named = {role: special_token(*configs, role=f"{role}_token") for role in ("mask", "bos")}
    there = {role: token for role, token in named.items() if token and backend.token_to_id(token) is not None}
    return HuggingFaceTokenizer(backend, eot=eot, **there, vocab_size=promised_size)


def _known_ends(backend: Any) -> Iterator[str]:
    return (token for token in _ENDS if backend.token_to_id(token) is not None)


def _end_by_id(backend: Any, configs: list[Any]) -> str | None:
    """Find the token by the id that a model's own files give it, the first where they give several."""
    for config in configs:
        ids = config.get("eos_token_id") if isinstance(config, dict) else None
        first = ids[0] if isinstance(ids, list) and ids else ids
        if type(first) is int and 0 <= first < size_of(backend):
            return backend.id_to_token(first)
    return None


def _from_folder(folder: Path) -> tuple[Any, list[Any]]:
    configs = [read_side_file(folder / file) for file in _SIDE_FILES]
    if (folder / "tokenizer.json").is_file():
        return read_backend(folder), configs
    if not any((folder / file).is_file() for file in OLDER_FILES):
        raise UsageError(f"folder `{folder}` holds no tokenizer (no `tokenizer.json` in it)")
    return _converted(str(folder), configs, local_only=True)


def _converted(name: str, configs: list[Any], *, local_only: bool) -> tuple[Any, list[Any]]:
    backend, said = from_older_files(name, local_only=local_only)
    return backend, [*configs, said]


def _from_hub(name: str) -> tuple[Any, list[Any]]:
    """Take the files from the hub's cache where they are there, without asking; else download them."""
    import huggingface_hub

    main, what = "tokenizer.json", f"tokenizer `{name}` cannot be had"
    cached = {file: _cached(name, file, what) for file in (main, "vocab.json", "tokenizer.model")}
    if (found := cached[main]) is not None:
        return read_backend(found.parent), [read_side_file(found.parent / file) for file in _SIDE_FILES]
    if any(cached.values()):
        return _converted(name, [], local_only=True)
    there = _files_of(name, what)

    def get(file: str) -> Path:
        return downloaded(partial(huggingface_hub.hf_hub_download, name, file), what, name, TOKENIZER)

    if main in there:
        configs = [read_side_file(get(side)) for side in _SIDE_FILES if side in there]
        return read_backend(get(main).parent), configs
    older = [file for file in OLDER_FILES if file in there]
    if not older:
        raise UsageError(f"the hub's `{name}` holds no tokenizer (no `tokenizer.json` in it)", key=TOKENIZER.key)
    get(older[-1])  # which tells of a gate better than transformers does
    with quiet():
        return within(SILENCE_SECONDS, what, lambda: _converted(name, [], local_only=False))


def _cached(name: str, file: str, what: str) -> Path | None:
    """Find a file of a model in the hub's cache; raises `UsageError` for what cannot be a model's name."""
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError

    try:
        found = huggingface_hub.try_to_load_from_cache(name, file)
    except HFValidationError as error:
        raise told(error, what, name, TOKENIZER) from error
    return Path(found) if isinstance(found, str) else None


def _files_of(name: str, what: str) -> set[str]:
    """Ask the hub which files a model has."""
    from huggingface_hub import HfApi, constants

    reach_hub(what, "or set `tokenizer_name` to a folder that holds it")
    api = HfApi(endpoint=constants.ENDPOINT)
    try:
        with quiet():
            info = within(ASKING_SECONDS + 5, what, lambda: api.model_info(name, timeout=ASKING_SECONDS))
    except StlmError:
        raise
    except Exception as error:
        raise told(error, what, name, TOKENIZER) from error
    return {sibling.rfilename for sibling in info.siblings or ()}
