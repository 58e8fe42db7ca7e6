"""Tokens that are ready: the folder, and the manifest that says what they are and came from."""

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from stlm.data.serving.tokens import Shard, TokenStream
from stlm.data.storage import file_sha256, read_sealed

_log = logging.getLogger(__name__)


@attrs.frozen
class Manifested:
    """What the manifest in a folder says of the tokens there, or of those that it names."""

    folder: Path
    manifest: dict[str, Any]
    reused: bool

    @property
    def has_completions(self) -> bool:
        """Whether there are prompts with completions among the documents, whose tokens are marked."""
        return bool(self.manifest["has_completions"])

    @property
    def split_bytes(self) -> dict[str, int]:
        """UTF-8 bytes, by split, of the text that the tokens stand for (the ends of documents have none)."""
        return dict(self.manifest["split_bytes"])

    @property
    def unigram_loss(self) -> float | None:
        """The held-out loss, in nats a token, of a model that knows how often each token occurs; None without data."""
        baseline = self.manifest.get("unigram")
        return None if baseline is None else float(baseline["nats_per_token"])

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the data set."""
        return str(self.manifest["fingerprint"])

    @property
    def tokenizer_fingerprint(self) -> str:
        """The fingerprint of the tokenizer."""
        return str(self.manifest["tokenizer_fingerprint"])

    def __str__(self) -> str:
        tokens, made = self.manifest["tokens"], "as prepared before" if self.reused else "prepared now"
        count = f"{tokens['train']:,} to train on, {tokens['val']:,} held out"
        return f"{self._what()}: {count}, {made} in {self.folder}"

    def _what(self) -> str:
        return "tokens"

    def as_json(self) -> dict[str, Any]:
        """The document that ``stlm prepare --json`` prints."""
        return {"folder": str(self.folder), **self.manifest, "reused": self.reused}


@attrs.frozen
class PreparedData(Manifested):
    """Tokens on the disk."""

    @property
    def train(self) -> TokenStream:
        """The tokens to train on."""
        return self._stream("train")

    @property
    def val(self) -> TokenStream:
        """The tokens held out."""
        return self._stream("val")

    def _stream(self, split: str) -> TokenStream:
        said = [shard for shard in self.manifest["shards"] if shard["split"] == split]
        shards = (Shard(self.folder / s["file"], s["tokens"], mask=self.has_completions) for s in said)
        return TokenStream(tuple(shards), self.manifest["dtype"], self.manifest["eot_id"])


@attrs.frozen
class Damage:
    """What is wrong with a folder of tokens: the files that are not what was written, or why none can be used."""

    files: tuple[str, ...] = ()
    reason: str = ""

    def __bool__(self) -> bool:
        return bool(self.files or self.reason)

    def __str__(self) -> str:
        return self.reason or f"not what was written: {', '.join(self.files)}"


def open_prepared(folder: Path, made_from: dict[str, Any]) -> PreparedData | None:
    """Open a folder of tokens that says it is ``made_from`` this; None where it does not, or anything is damaged."""
    prepared, damage = look_at(folder, made_from)
    if damage:
        _log.warning("the tokens in %s are damaged (%s)", folder, damage)
    return None if damage else prepared


def look_at(folder: Path, made_from: dict[str, Any]) -> tuple[PreparedData | None, Damage]:
    """Open a folder of tokens, and say what is damaged in it; None where there is none that is ``made_from`` this.

    Each file is hashed once in the life of a process.
    """
    manifest = read_sealed(folder / "manifest.json")
    if manifest is None:
        return None, Damage(reason="its manifest is not what was written" if folder.is_dir() else "")
    if any(manifest.get(key) != value for key, value in made_from.items()):
        return None, Damage()
    files = [file for shard in manifest["shards"] for file in files_of(shard).items()]
    sizes = _sizes(manifest)
    with ThreadPoolExecutor() as pool:
        whole = pool.map(lambda file: _is_whole(folder / file[0], file[1], sizes[file[0]]), files)
        damaged = [name for (name, _), fine in zip(files, whole, strict=True) if not fine]
    return PreparedData(folder, manifest, reused=True), Damage(tuple(damaged))


def files_of(shard: dict[str, Any]) -> dict[str, str]:
    """Give the files of a shard with their SHA-256."""
    stem = shard["file"].removesuffix(".bin")
    kinds = [kind for kind in ("lengths", "mask") if f"{kind}_sha256" in shard]
    return {shard["file"]: shard["sha256"], **{f"{stem}.{kind}": shard[f"{kind}_sha256"] for kind in kinds}}


def _sizes(manifest: dict[str, Any]) -> dict[str, int]:
    """Give the size in bytes of each file."""
    width, sizes = np.dtype(manifest["dtype"]).itemsize, {}
    for shard in manifest["shards"]:
        name, stem = shard["file"], shard["file"].removesuffix(".bin")
        sizes |= {
            name: shard["tokens"] * width,
            f"{stem}.lengths": shard["documents"] * 4,
            f"{stem}.mask": shard["tokens"],
        }
    return sizes


def _is_whole(file: Path, sha256: str, size: int) -> bool:
    try:
        said = file.stat()  # a pipe, which would be waited for, has no size
        return said.st_size == size and _hashed(file.absolute(), size, said.st_mtime_ns) == sha256
    except OSError:
        return False


@lru_cache(maxsize=1 << 16)
def _hashed(file: Path, size: int, changed: int) -> str:
    return file_sha256(file)
