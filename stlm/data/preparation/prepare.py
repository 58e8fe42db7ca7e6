"""Make the tokens that a spec trains on, once: documents are split, encoded and written, and found again next time."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import attrs
import numpy as np

from stlm.data.preparation.split import MIN_WINDOWS, SplitRule, divide
from stlm.data.preparation.unigram import unigram_baseline
from stlm.data.serving.tokens import TokenFile, dtype_for
from stlm.data.sources.documents import DocumentSource
from stlm.data.storage import digest_of, file_sha256, lock_of, locked, new_folder, read_json, slug, write_json
from stlm.data.tokenizers.tokenizer import Tokenizer
from stlm.spec.errors import UsageError, WorkError

_log = logging.getLogger(__name__)
FORMAT = 2  # raise it when the same data and tokenizer would be stored in another way
_BATCH_CHARACTERS = 1 << 20
_SPLITS = ("train", "val")
Progress = Callable[[int, int], None]


@attrs.frozen
class PreparedData:
    """Tokens on the disk: the folder, and the manifest that says what they are and came from."""

    folder: Path
    manifest: dict[str, Any]
    reused: bool

    @property
    def train(self) -> TokenFile:
        """The tokens to train on."""
        return self._file("train")

    @property
    def val(self) -> TokenFile:
        """The tokens held out."""
        return self._file("val")

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
        return f"tokens: {tokens['train']:,} to train on, {tokens['val']:,} held out, {made} in {self.folder}"

    def as_json(self) -> dict[str, Any]:
        """The document that ``stlm prepare --json`` prints."""
        return {"folder": str(self.folder), **self.manifest, "reused": self.reused}

    def _file(self, split: str) -> TokenFile:
        return TokenFile(self.folder / f"{split}.bin", self.manifest["dtype"], self.manifest["eot_id"])


def prepare(spec: Any, tokenizer: Tokenizer, progress: Progress | None = None) -> PreparedData:
    """Give the prepared tokens of a spec, from ``data_dir`` where they are there, else made now.

    ``progress`` is told the documents and tokens done so far. Other processes that want the same tokens wait.
    """
    if spec.trainer is None:
        raise UsageError("a spec without a `trainer` section names no data set to prepare")
    choice = spec.trainer.dataset
    job = _Job(
        source=choice.build(spec),
        tokenizer=tokenizer,
        fraction=spec.trainer.validation_fraction,
        parent=Path(spec.general.paths.data_dir) / "tokens",
        name=f"{slug(choice.selector)}-{slug(spec.model.tokenizer.selector)}",
        progress=progress or (lambda documents, tokens: None),
    )
    data_fingerprint = job.source.fingerprint()
    prepared = job.run(SplitRule.DOCUMENTS, data_fingerprint)
    window = spec.model.context_window
    enough = MIN_WINDOWS * window
    if job.fraction > 0 and min(prepared.manifest["tokens"].values()) < enough:
        prepared = job.run(SplitRule.TAILS, data_fingerprint)
        if not prepared.reused:
            _log.info("%s (a window is the %d tokens that the model sees at once)", prepared.manifest["split"], window)
    _log.info("%s", prepared)
    return prepared


@attrs.frozen
class _Job:
    source: DocumentSource
    tokenizer: Tokenizer
    fraction: float
    parent: Path
    name: str
    progress: Progress

    def run(self, rule: SplitRule, data_fingerprint: str) -> PreparedData:
        """Find or make the tokens under one rule."""
        made_from = {
            "format": FORMAT,
            "fingerprint": data_fingerprint,
            "tokenizer_fingerprint": self.tokenizer.fingerprint,
            "vocab_size": self.tokenizer.vocab_size,
            "validation_fraction": self.fraction,
            "split_rule": rule.value,
        }
        folder = self.parent / f"{self.name}-{digest_of(made_from)[:16]}"
        prepared = open_prepared(folder, made_from)  # without the lock, which a folder that is only read refuses
        if prepared is not None:
            return prepared
        with locked(lock_of(folder)):
            prepared = open_prepared(folder, made_from)  # by the process that held the lock before
            if prepared is not None:
                return prepared
            _log.info("preparing the tokens of %s", self.name)
            with new_folder(folder) as temporary:
                manifest = made_from | {"split": rule.describe(self.fraction)} | self.write(temporary, rule)
                write_json(temporary / "manifest.json", manifest)
            return PreparedData(folder, manifest, reused=False)

    def write(self, folder: Path, rule: SplitRule) -> dict[str, Any]:
        """Write `train.bin` and `val.bin`; give what the manifest says of them."""
        began = time.perf_counter()
        dtype = dtype_for(self.tokenizer.vocab_size)
        documents = total_bytes = 0
        with open(folder / "train.bin", "wb") as train, open(folder / "val.bin", "wb") as val:
            writers = [_Writer("train", train, self.tokenizer, dtype), _Writer("val", val, self.tokenizer, dtype)]
            for batch in _batches(self.source.documents()):
                documents += len(batch)
                total_bytes += sum(len(text.encode()) for text in batch)
                parts = [divide(text, rule, self.fraction) for text in batch]
                for writer, texts in zip(writers, zip(*parts, strict=True), strict=True):
                    writer.write([text for text in texts if text is not None])
                self.progress(documents, sum(writer.tokens for writer in writers))
        if not total_bytes:
            raise WorkError(f"data set `{self.name}` is empty: {documents} documents without a single character")
        seconds = time.perf_counter() - began
        tokens = {writer.split: writer.tokens for writer in writers}
        baseline = unigram_baseline(*(writer.counts for writer in writers), val_bytes=writers[1].bytes)
        return {
            "documents": documents,
            "bytes": total_bytes,
            "split_bytes": {writer.split: writer.bytes for writer in writers},
            "tokens": tokens,
            "dtype": dtype,
            "eot_id": self.tokenizer.eot_id,
            "unigram": None if baseline is None else attrs.asdict(baseline),
            "shards": [writer.describe() for writer in writers],
            "engine": "in-process",
            "seconds": round(seconds, 3),
            "tokens_per_second": round(sum(tokens.values()) / seconds),
        }


class _Writer:
    """One shard: encodes texts, an end of text after each, and counts and hashes what it writes."""

    def __init__(self, split: str, file: BinaryIO, tokenizer: Tokenizer, dtype: str) -> None:
        self.split, self.file, self.tokenizer = split, file, tokenizer
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.tokens = self.bytes = 0
        self.digest = hashlib.sha256()
        self.counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)

    def write(self, texts: list[str]) -> None:
        """Append the tokens of ``texts``."""
        if not texts:
            return
        ids: list[int] = []
        for one in self.tokenizer.encode_batch(texts):
            self.bytes += len(self.tokenizer.decode_bytes(one))
            ids += [*one, self.tokenizer.eot_id]
        row = np.array(ids, dtype=np.int64)
        if row.max() >= len(self.counts) or row.min() < 0:
            wrong = row.max() if row.max() >= len(self.counts) else row.min()
            raise WorkError(f"the tokenizer gave id {wrong}, outside its vocabulary of {len(self.counts)}")
        data = row.astype(self.dtype).tobytes()
        self.file.write(data)
        self.digest.update(data)
        self.tokens += len(row)
        self.counts += np.bincount(row, minlength=len(self.counts))

    def describe(self) -> dict[str, Any]:
        """Give the shard's line in the manifest."""
        return {
            "file": f"{self.split}.bin",
            "split": self.split,
            "tokens": self.tokens,
            "sha256": self.digest.hexdigest(),
        }


def _batches(documents: Iterable[str]) -> Iterator[list[str]]:
    """Group documents, in order, to about a million characters."""
    batch: list[str] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document) + 64  # many empty documents are work too
        if characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def open_prepared(folder: Path, made_from: dict[str, Any]) -> PreparedData | None:
    """Open a folder of tokens that says it is ``made_from`` this; None where it does not, or anything is damaged.

    Each shard is hashed once in the life of a process.
    """
    manifest = read_json(folder / "manifest.json")
    if not isinstance(manifest, dict):
        return None
    if any(manifest.get(key) != value for key, value in made_from.items()):
        return None
    try:
        damage = _damage(folder, manifest)
    except (OSError, KeyError, TypeError, ValueError) as error:
        damage = f"its manifest cannot be used: {type(error).__name__}: {error}"
    if damage:
        _log.warning("the tokens in %s are damaged (%s)", folder, damage)
        return None
    return PreparedData(folder, manifest, reused=True)


def _damage(folder: Path, manifest: dict[str, Any]) -> str | None:
    """Say what is wrong with a folder of tokens; what its manifest lacks raises."""
    for numbers in (manifest["tokens"], manifest["split_bytes"]):
        if not all(type(numbers[split]) is int for split in _SPLITS):
            raise TypeError("`tokens` and `split_bytes` are numbers")
    if type(manifest["eot_id"]) is not int or not isinstance(manifest["fingerprint"], str):
        raise TypeError("`eot_id` is a number and `fingerprint` a text")
    if manifest["unigram"] is not None:
        float(manifest["unigram"]["nats_per_token"])
    shards = {shard["split"]: shard for shard in manifest["shards"]}
    width = np.dtype(manifest["dtype"]).itemsize
    for split in _SPLITS:
        file = folder / f"{split}.bin"
        said = file.stat()
        if said.st_size != shards[split]["tokens"] * width or shards[split]["tokens"] != manifest["tokens"][split]:
            return f"{file.name} is not as long as it should be"
        if _hashed(file.absolute(), said.st_size, said.st_mtime_ns) != shards[split]["sha256"]:
            return f"{file.name} is not what was written"
    return None


@lru_cache(maxsize=64)
def _hashed(file: Path, size: int, changed: int) -> str:
    return file_sha256(file)
