"""One part of a data set to shards: files of tokens that are bounded in size and finished for good, one by one."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from stlm.data.preparation.encoding import Encoder, Ids, Lengths
from stlm.data.preparation.split import (
    SPLITS,
    Short,
    SplitRule,
    blank_before,
    divide,
    holds_out,
    tail_start_of,
    text_of,
    where,
)
from stlm.data.sources.source import Document, Example, LongText, Part, is_blank
from stlm.data.storage import reported_as, sealed, write_file, write_json
from stlm.data.surrogates import mended_document

_BATCH_CHARACTERS = 1 << 22


@attrs.frozen
class Task:
    """A part to be prepared; ``index`` is its place among all. ``split`` is where all of it goes, None by the rule."""

    index: int
    part: Part
    split: str | None = None


@attrs.frozen
class Layout:
    """What shards of one preparation have in common."""

    dtype: str
    eot_id: int
    vocab_size: int
    shard_bytes: int
    rule: SplitRule
    fraction: float
    has_completions: bool
    seed: str


@attrs.frozen
class _Held:
    """Documents of one split, their texts in UTF-8, and their numbers within the part, from 1."""

    documents: list[Short] = attrs.field(factory=list)
    utf8: list[bytes] = attrs.field(factory=list)
    numbers: list[int] = attrs.field(factory=list)

    def add(self, number: int, document: Short, utf8: bytes) -> None:
        self.numbers.append(number)
        self.documents.append(document)
        self.utf8.append(utf8)


@attrs.frozen
class Done:
    """What was done since the last time it was told."""

    documents: int = 0
    bytes: int = 0
    tokens: int = 0


Tell = Callable[[Done], None]


def write_shards(
    task: Task, layout: Layout, encoder: Encoder, folder: Path, tell: Tell, *, finished: int = 0, skip: int = 0
) -> Iterator[dict[str, Any]]:
    """Write the shards of a part behind the ``finished`` ones, which hold its first ``skip`` documents.

    Gives the entry of each when it is whole on the disk. What is not finished leaves no file. Raises `WorkError`, and
    `EngineDiffersError` where the fast engine cannot be trusted.
    """
    documents, number = map(mended_document, task.part.documents(skip)), finished
    ahead = next(documents, None)
    while True:
        with contextlib.closing(_Shard(task, number, layout, encoder, folder, skip)) as shard:
            while ahead is not None and shard.source_bytes < layout.shard_bytes:
                batch, ahead = _batch(ahead, documents, layout.shard_bytes - shard.source_bytes)
                tell(shard.add(batch))
            entry = shard.finish(last=ahead is None)
        yield entry
        number, skip = number + 1, skip + entry["documents"]
        if ahead is None:
            return


def _batch(first: Document, rest: Iterator[Document], room: int) -> tuple[list[Document], Document | None]:
    """Take documents until there is enough for one call of the encoder; also give the one behind them, or None.

    A long text is a batch of its own.
    """
    if not isinstance(first, str | Example):
        return [first], next(rest, None)
    batch: list[Document] = [first]
    size, most = _size(first), min(room, _BATCH_CHARACTERS)
    for document in rest:
        if size >= most or not isinstance(document, str | Example):
            return batch, document
        batch.append(document)
        size += _size(document)
    return batch, None


def _size(document: Short) -> int:
    if isinstance(document, str):
        return len(document)
    return len(document.prompt) + len(document.completion)


class _Shard:
    """A shard that is being written: the files of both splits, and what its entry will say."""

    def __init__(self, task: Task, number: int, layout: Layout, encoder: Encoder, folder: Path, before: int) -> None:
        self.task, self.layout, self.encoder, self.folder, self.before = task, layout, encoder, folder, before
        self.stem = stem_of(task.index, number)
        self.number, self.documents, self.blank, self.source_bytes = number, 0, 0, 0
        self.splits = {split: _SplitFiles(split, self.stem, layout, folder) for split in SPLITS}

    def add(self, batch: list[Document]) -> Done:
        """Encode and write documents; those that are blank are none, but they count among those that were read."""
        tokens = sum(files.tokens for files in self.splits.values())
        before, blank = self.source_bytes, self.blank
        if len(batch) == 1 and not isinstance(batch[0], str | Example):
            self._add_long(batch[0])
            self.blank += self.source_bytes == before
        else:
            numbered = enumerate(batch, self.before + self.documents + 1)
            documents: list[Any] = [(number, document) for number, document in numbered if not is_blank(document)]
            self.blank += len(batch) - len(documents)
            self._add_short(documents)
        self.documents += len(batch)
        tokens = sum(files.tokens for files in self.splits.values()) - tokens
        return Done(len(batch) - (self.blank - blank), self.source_bytes - before, tokens)

    def _add_short(self, batch: list[tuple[int, Short]]) -> None:
        held = {split: _Held() for split in SPLITS}
        for number, document in batch:
            data = text_of(document).encode()
            self.source_bytes += len(data)
            split = self.task.split or where(data, self.layout.rule, self.layout.fraction)
            if split is not None:
                held[split].add(number, document, data)
                continue
            for split, piece in zip(SPLITS, divide(document, self.layout.fraction), strict=True):
                if piece is not None:
                    held[split].add(number, piece, text_of(piece).encode())
        for split, of_split in held.items():
            if of_split.documents:
                self._encode(split, of_split)

    def _encode(self, split: str, held: "_Held") -> None:
        texts = [text_of(document) for document in held.documents]
        ids, lengths = self.encoder.encode(texts, held.utf8)
        self.encoder.check(texts, ids, lengths, self.layout.seed, str(self.task.part), held.numbers)
        mask = None
        if self.layout.has_completions:
            mask = self.encoder.completion_mask([_example(document) for document in held.documents], ids, lengths)
        self.splits[split].add(ids, lengths, sum(map(len, held.utf8)), mask)

    def _add_long(self, document: LongText) -> None:
        """Encode a document that comes in pieces: once through for its hash or its length, and once for its tokens."""
        split, cut = self._place_of_long(document)
        if cut is None:
            self._encode_long(self.splits[split], document.pieces())
            return
        first, rest = divide_pieces(document.pieces(), cut)
        self._encode_long(self.splits["train"], first)
        self._encode_long(self.splits["val"], rest)

    def _encode_long(self, files: "_SplitFiles", pieces: Iterator[str]) -> None:
        size = 0

        def counted() -> Iterator[str]:
            nonlocal size
            for piece in pieces:
                size += utf8_length(piece)
                yield piece

        for ids in self.encoder.encode_long(counted(), str(self.task.part)):
            files.add_piece(ids)
        self.source_bytes += size
        files.end_long(size, completion=self.layout.has_completions)

    def _place_of_long(self, document: LongText) -> tuple[str, int | None]:
        """Say where a long text goes, and at which character it is cut where its tail is held out."""
        if self.task.split is not None:
            return self.task.split, None
        rule, fraction = self.layout.rule, self.layout.fraction
        if fraction <= 0.0:
            return "train", None
        digest, characters = hashlib.sha256(), 0
        for piece in document.pieces():
            digest.update(piece.encode())
            characters += len(piece)
        if rule is SplitRule.TAILS:
            return "train", tail_start_of(characters, fraction)
        return ("val" if holds_out(digest.digest(), fraction) else "train"), None

    def finish(self, *, last: bool) -> dict[str, Any]:
        """Make the files whole under their names, and write the entry, by which the shard counts as finished."""
        files = [entry for split in SPLITS if (entry := self.splits[split].finish()) is not None]
        counts = np.stack([self.splits[split].counts for split in SPLITS]).astype("<i8").tobytes()
        write_file(self.folder / f"{self.stem}.counts", counts)
        entry = {
            "part": self.task.index,
            "shard": self.number,
            "documents": self.documents,
            "blank": self.blank,
            "bytes": self.source_bytes,
            "last": last,
            "engine": self.encoder.name,
            "counts_sha256": hashlib.sha256(counts).hexdigest(),
            "files": files,
        }
        write_json(self.folder / f"{self.stem}.json", sealed(entry))
        return entry

    def close(self) -> None:
        """Remove what was not finished."""
        for files in self.splits.values():
            files.close()


class _SplitFiles:
    """Tokens, lengths of documents and, of completions, the mask of one split in one shard; made with the first."""

    def __init__(self, split: str, stem: str, layout: Layout, folder: Path) -> None:
        self.name, self.split, self.layout, self.folder = f"{split}-{stem}", split, layout, folder
        self.tokens = self.documents = self.bytes = self._long = 0
        self.counts = np.zeros(layout.vocab_size, dtype=np.int64)
        self._open: dict[str, _HashedFile] = {}

    def add(self, ids: Ids, lengths: Lengths, size: int, mask: NDArray[np.uint8] | None) -> None:
        """Append whole documents of ``size`` bytes, with an end of text after each."""
        ends = np.cumsum(lengths) + np.arange(len(lengths))
        of_text = np.ones(len(ids) + len(lengths), dtype=bool)
        of_text[ends] = False
        self._write_tokens(self._with(ids, of_text, self.layout.eot_id))
        self._write("lengths", (lengths + 1).astype("<u4"))
        if mask is not None:
            self._write("mask", self._with(mask, of_text, 1).astype(np.uint8))
        self.documents += len(lengths)
        self.bytes += size

    @staticmethod
    def _with(values: NDArray[Any], where: NDArray[np.bool_], other: int) -> NDArray[Any]:
        out = np.full(len(where), other, dtype=values.dtype)
        out[where] = values
        return out

    def add_piece(self, ids: Ids) -> None:
        """Append a piece of a document that comes in pieces."""
        self._write_tokens(ids)
        self._long += len(ids)

    def end_long(self, size: int, *, completion: bool) -> None:
        """End the document whose pieces were added, of ``size`` bytes; one without a character is none."""
        if not size:
            return
        self._write_tokens(np.array([self.layout.eot_id], dtype=np.uint32))
        self._write("lengths", np.array([self._long + 1], dtype="<u4"))
        if completion:
            self._write("mask", np.ones(self._long + 1, dtype=np.uint8))
        self.documents += 1
        self.bytes += size
        self._long = 0

    def _write_tokens(self, ids: NDArray[Any]) -> None:
        self._write("bin", ids.astype(np.dtype(self.layout.dtype).newbyteorder("<")))
        self.tokens += len(ids)
        self.counts += np.bincount(ids, minlength=self.layout.vocab_size)

    def _write(self, kind: str, data: NDArray[Any]) -> None:
        if kind not in self._open:
            self._open[kind] = _HashedFile(self.folder / f"{self.name}.{kind}")
        self._open[kind].write(data.data)

    def finish(self) -> dict[str, Any] | None:
        """Give the files their names; return what the manifest says of them, None where there is not a token."""
        if not self.tokens:
            return None
        digests = {kind: file.finish() for kind, file in self._open.items()}
        more = {f"{kind}_sha256": digests[kind] for kind in ("lengths", "mask") if kind in digests}
        return {
            "file": f"{self.name}.bin",
            "split": self.split,
            "tokens": self.tokens,
            "documents": self.documents,
            "bytes": self.bytes,
            "sha256": digests["bin"],
            **more,
        }

    def close(self) -> None:
        for file in self._open.values():
            file.close()


class _HashedFile:
    """A file under a temporary name until it is finished, which hashes what it is given."""

    def __init__(self, path: Path) -> None:
        self.path, self.temporary = path, path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self.digest = hashlib.sha256()
        with reported_as(f"cannot write `{path}`"):
            self.handle = open(self.temporary, "wb", buffering=0)  # noqa: SIM115 - closed in `close`

    def write(self, data: memoryview) -> None:
        """Append bytes."""
        data = data.cast("B")
        self.digest.update(data)
        with reported_as(f"cannot write `{self.path}`"):
            while data:
                data = data[self.handle.write(data) :]

    def finish(self) -> str:
        """Flush the file to the disk and give it its name; return its SHA-256."""
        with reported_as(f"cannot write `{self.path}`"):
            os.fsync(self.handle.fileno())
            self.handle.close()
            self.temporary.replace(self.path)
        return self.digest.hexdigest()

    def close(self) -> None:
        """Let go of the file; one that is not finished goes."""
        self.handle.close()
        self.temporary.unlink(missing_ok=True)


def divide_pieces(pieces: Iterable[str], cut: int) -> tuple[Iterator[str], Iterator[str]]:
    """Divide a text in pieces at a character, or a blank near before it; the first half must be gone through first."""
    stream = iter(pieces)
    rest: list[str] = []

    def first() -> Iterator[str]:
        at = 0
        for piece in stream:
            if at + len(piece) > cut:
                here = blank_before(piece, cut - at, reach=len(piece))
                rest.append(piece[here:])
                yield piece[:here]
                return
            at += len(piece)
            yield piece

    def second() -> Iterator[str]:
        yield from rest
        yield from stream

    return first(), second()


def stem_of(part: int, shard: int) -> str:
    """Name a shard of a part, as its files are named."""
    return f"{part:05}-{shard:05}"


def utf8_length(text: str) -> int:
    """Count the bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def _example(document: str | Example) -> Example:
    return Example("", document) if isinstance(document, str) else document
