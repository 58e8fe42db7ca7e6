"""What there is to prepare: the parts of a data set, which of their shards are finished, and how all become one."""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from stlm.data.preparation.encoding import Encoder, EngineDiffersError, reference_name
from stlm.data.preparation.prepared import PreparedData, files_of, look_at
from stlm.data.preparation.shards import Layout, Task, Tell, stem_of, write_shards
from stlm.data.preparation.split import SPLITS, SplitRule, describe_rows
from stlm.data.preparation.unigram import unigram_baseline
from stlm.data.serving.tokens import dtype_for
from stlm.data.sources.source import DocumentSource, Part, has_completions, parts_of, validation_of
from stlm.data.storage import digest_of, file_sha256, flush, read_json, read_sealed, reported_as, sealed, write_json
from stlm.data.tokenizers.token_bytes import TokenBytes
from stlm.spec.errors import StlmError, WorkError
from stlm.spec.reasons import typed_reason_of

_log = logging.getLogger(__name__)
FORMAT = 4  # raise it when the same data and tokenizer would be stored in another way
SHARD_BYTES = 1 << 26
"""Text of the documents in a shard, but for the last of them."""


@attrs.frozen
class Finished:
    """How far a part is: its shards that are whole, the documents in them, and whether there are no more."""

    shards: int = 0
    documents: int = 0
    all: bool = False


@attrs.frozen
class Preparation:
    """A data set under one rule and one tokenizer, to be written into ``folder``.

    Each part is made by itself, in any order and by any process, and its shards depend on nothing else; `merge` makes
    one folder of them. It can be pickled, and so sent to another process or machine that sees the same files.
    """

    name: str
    folder: Path
    made_from: dict[str, Any]
    tasks: tuple[Task, ...]
    tokenizer: Any
    layout: Layout

    @classmethod
    def of(
        cls,
        source: DocumentSource,
        tokenizer: Any,
        rule: SplitRule,
        fraction: float,
        *,
        name: str,
        parent: Path,
        fingerprint: str | None = None,
        shard_bytes: int = SHARD_BYTES,
    ) -> "Preparation":
        """Plan the preparation of a source; nothing is read but what divides it into parts."""
        parts = _parts(source, rule)
        made_from = {
            "format": FORMAT,
            "fingerprint": fingerprint or source.fingerprint(),
            "tokenizer_fingerprint": tokenizer.fingerprint,
            "vocab_size": tokenizer.vocab_size,
            "validation_fraction": fraction,
            "split_rule": rule.value,
            "shard_bytes": shard_bytes,
            "parts": _sizes_of(parts),  # shards are within parts
        }
        layout = Layout(
            dtype=dtype_for(tokenizer.vocab_size),
            eot_id=tokenizer.eot_id,
            vocab_size=tokenizer.vocab_size,
            shard_bytes=shard_bytes,
            rule=rule,
            fraction=fraction,
            has_completions=has_completions(source),
            seed=made_from["fingerprint"],
        )
        tasks = tuple(Task(index, part, split) for index, (part, split) in enumerate(parts))
        return cls(name, parent / f"{name}-{digest_of(made_from)[:16]}", made_from, tasks, tokenizer, layout)

    def is_of(self, source: DocumentSource) -> bool:
        """Whether the data of a source are still those that this was planned for."""
        parts = _sizes_of(_parts(source, self.layout.rule))
        return parts == self.made_from["parts"] and source.fingerprint() == self.made_from["fingerprint"]

    @property
    def work(self) -> Path:
        """The folder of what is finished so far."""
        return self.folder.with_name(f".{self.folder.name}.partial")

    @property
    def refused(self) -> str | None:
        """Why the fast engine is not to be used for these data; None where nothing is known against it."""
        marker = read_json(self.work / "engine.json")
        return str(marker["refused"]) if isinstance(marker, dict) and "refused" in marker else None

    def refuse(self, reason: str) -> None:
        """Note that the fast engine is not to be used; what it has made no longer counts as finished."""
        write_json(self.work / "engine.json", {"refused": reason})

    def fast(self) -> Any:
        """Give the fast engine; None where there is none, or it is refused."""
        from stlm.data.tokenizers.fast import fast_encoder

        return None if self.refused else fast_encoder(self.tokenizer)

    def encoder(self, *, threads: int = 1) -> Encoder:
        """Give what encodes: the fast engine, or, where there is none, the tokenizer."""
        return Encoder(self.tokenizer, self.fast(), threads=threads)

    def finished(self) -> list[Finished]:
        """Say of each part how far it is; what is there and not whole goes, with a warning."""
        refused = self.refused
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda task: self._finished(task, refused), self.tasks))

    def _finished(self, task: Task, refused: str | None) -> Finished:
        found = Finished()
        for entry in self._entries(task):
            if refused and entry["engine"] != reference_name(self.tokenizer):
                break
            damaged = [name for name, sha256 in _files(entry).items() if not _is(self.work / name, sha256)]
            if damaged:
                _log.warning("%s is damaged and is made again", self.work / damaged[0])
                break
            found = Finished(found.shards + 1, found.documents + entry["documents"], entry["last"])
        else:
            following = self.work / f"{stem_of(task.index, found.shards)}.json"
            if not found.all and following.exists():
                _log.warning("%s is damaged, and its shard is made again", following)
        return found

    def _entries(self, task: Task) -> Iterator[dict[str, Any]]:
        """Give the entries of a part's shards, in order, as far as they go."""
        number = 0
        while (entry := read_sealed(self.work / f"{stem_of(task.index, number)}.json")) is not None:
            yield entry
            if entry["last"]:
                return
            number += 1

    def make_parts(self, finished: Mapping[int, Finished], make: Callable[[list[tuple[int, Finished]]], None]) -> None:
        """Let ``make`` make what is not finished of parts, which are given by their index.

        It is called a second time where the fast engine, which it asks for by `fast`, proves to be wrong.
        """
        with reported_as(f"cannot write `{self.work}`"):
            self.work.mkdir(parents=True, exist_ok=True)
        try:
            make([(index, done) for index, done in finished.items() if not done.all])
        except EngineDiffersError as error:
            _log.warning("%s; all is made again without it", error)
            self.refuse(str(error))
            again = self.finished()
            make([(index, again[index]) for index in finished if not again[index].all])

    def make(self, index: int, tell: Tell = lambda done: None, *, encoder: Encoder, finished: Finished) -> None:
        """Write what is not finished of a part. Raises `EngineDiffersError`, upon which all is to be made again.

        What goes wrong and is not told yet (in a plugin, for one) becomes a `WorkError` that names the part.
        """
        part = self.tasks[index].part
        try:
            self._make(index, tell, encoder, finished)
        except (StlmError, EngineDiffersError):
            raise
        except MemoryError as error:
            raise WorkError(f"there is not enough memory for {part}") from error
        except Exception as error:
            text = typed_reason_of(error, limit=500)
            raise WorkError(f"{part} cannot be prepared: {text}") from error

    def _make(self, index: int, tell: Tell, encoder: Encoder, finished: Finished) -> None:
        written = write_shards(
            self.tasks[index],
            self.layout,
            encoder,
            self.work,
            tell,
            finished=finished.shards,
            skip=finished.documents,
        )
        for _ in written:
            pass

    def files_made(self, index: int) -> dict[str, str]:
        """Give the files of a part's finished shards, with their SHA-256."""
        return {name: sha for entry in self._entries(self.tasks[index]) for name, sha in _files(entry).items()}

    def missing(self) -> list[Task]:
        """Give the parts that were not made to their end, as far as the entries of their shards tell."""
        return [task for task in self.tasks if not any(entry["last"] for entry in self._entries(task))]

    def merge(self, seconds: float, before: Sequence[Finished] = ()) -> PreparedData:
        """Make one folder of all parts, which must be finished. Raises `WorkError` where they hold no text.

        It took ``seconds`` to make what was not finished ``before``, which says it of each part.
        """
        for task in self.missing():
            raise WorkError(f"{task.part} is not prepared yet, so `{self.folder}` cannot be made whole")
        entries = [list(self._entries(task)) for task in self.tasks]
        flat = [entry for own in entries for entry in own]
        if not sum(entry["bytes"] for entry in flat):
            documents = sum(entry["documents"] for entry in flat)
            self.discard()
            raise WorkError(f"data set `{self.name}` is empty: {documents} documents without a visible character")
        write_json(self.work / "manifest.json", sealed(self._manifest(flat, seconds, before)))
        return self.publish()

    def publish(self) -> PreparedData:
        """Give the finished work its name."""
        manifest = read_json(self.work / "manifest.json")
        keep = {"manifest.json", *(name for shard in manifest["shards"] for name in files_of(shard))}
        with reported_as(f"cannot write `{self.folder}`"):
            for file in self.work.iterdir():
                if file.name not in keep:
                    file.unlink()
            flush(self.work)
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self.work.rename(self.folder)
            flush(self.folder.parent)
        return PreparedData(self.folder, manifest, reused=False)

    def is_merged(self) -> bool:
        """Whether the work is whole but for its name."""
        merged, damage = look_at(self.work, self.made_from)
        return merged is not None and not damage

    def discard(self) -> None:
        """Throw away what is finished so far."""
        shutil.rmtree(self.work, ignore_errors=True)

    @property
    def has_shards(self) -> bool:
        """Whether any shard is finished, as far as the names of files tell."""
        return any(self.work.glob("[0-9]*-[0-9]*.json"))

    def clear(self) -> None:
        """Remove what ended in the middle of being written."""
        for file in self.work.glob(".*.tmp"):
            file.unlink(missing_ok=True)

    def _manifest(self, entries: list[dict[str, Any]], seconds: float, before: Sequence[Finished]) -> dict[str, Any]:
        counts = self._counts(entries)
        bytes_of = TokenBytes(self.tokenizer)
        split_bytes = {split: bytes_of.of_counts(counts[i]) for i, split in enumerate(SPLITS)}
        shards = [file for split in SPLITS for entry in entries for file in entry["files"] if file["split"] == split]
        tokens = {split: sum(file["tokens"] for file in shards if file["split"] == split) for split in SPLITS}
        baseline = unigram_baseline(counts[0], counts[1], val_bytes=split_bytes["val"])
        blank = sum(entry["blank"] for entry in entries)
        new = [one for one in entries if not before or one["shard"] >= before[one["part"]].shards]
        made = sum(file["tokens"] for entry in new for file in entry["files"])
        return self.made_from | {
            "split": self._split(shards),
            "documents": sum(entry["documents"] for entry in entries) - blank,
            "blank_documents": blank,
            "bytes": sum(entry["bytes"] for entry in entries),
            "split_bytes": split_bytes,
            "tokens": tokens,
            "dtype": self.layout.dtype,
            "eot_id": self.layout.eot_id,
            "has_completions": self.layout.has_completions,
            "unigram": None if baseline is None else attrs.asdict(baseline),
            "shards": shards,
            "engine": ", ".join(sorted({entry["engine"] for entry in entries})),
            "seconds": round(seconds, 3),
            "tokens_per_second": round(made / max(seconds, 1e-9)),
        }

    def _split(self, shards: list[dict[str, Any]]) -> str:
        """Say what is held out."""
        rule, held_out = self.layout.rule, [shard["documents"] for shard in shards if shard["split"] == "val"]
        if rule is SplitRule.DOCUMENTS and self.layout.has_completions:
            return describe_rows(sum(shard["documents"] for shard in shards), sum(held_out))
        return rule.describe(self.layout.fraction)

    def _counts(self, entries: list[dict[str, Any]]) -> NDArray[np.int64]:
        """Count each token in each split, (splits, vocab_size)."""
        total = np.zeros((len(SPLITS), self.layout.vocab_size), dtype=np.int64)
        for entry in entries:
            stored = np.fromfile(self.work / f"{stem_of(entry['part'], entry['shard'])}.counts", dtype="<i8")
            total += stored.reshape(total.shape)
        return total


def _parts(source: DocumentSource, rule: SplitRule) -> list[tuple[Part, str | None]]:
    """Give the parts of a source, each with the split that all of it goes to, None by the rule."""
    parts: list[tuple[Part, str | None]] = [
        (part, "train" if rule is SplitRule.OWN else None) for part in parts_of(source)
    ]
    held_out = validation_of(source)
    if rule is SplitRule.OWN and held_out is not None:
        parts += [(part, "val") for part in parts_of(held_out)]
    return parts


def _sizes_of(parts: list[tuple[Part, str | None]]) -> str:
    return digest_of([(part.size, split) for part, split in parts])


def _files(entry: dict[str, Any]) -> dict[str, str]:
    """Give all files that belong to a finished shard, with their SHA-256."""
    files = {f"{stem_of(entry['part'], entry['shard'])}.counts": entry["counts_sha256"]}
    for shard in entry["files"]:
        files |= files_of(shard)
    return files


def _is(file: Path, sha256: str) -> bool:
    try:
        return file.is_file() and file_sha256(file) == sha256
    except OSError:
        return False


__all__ = ["FORMAT", "SHARD_BYTES", "EngineDiffersError", "Finished", "Preparation"]
