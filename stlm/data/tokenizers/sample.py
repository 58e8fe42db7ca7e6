"""A bounded sample of a data set to train a tokenizer on, which does not depend on the order of the documents."""

import contextlib
import hashlib
import struct
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stlm.data.sources.source import Document, Example
from stlm.data.storage import reported_as
from stlm.data.surrogates import mended_document
from stlm.data.tokenizers.tokenizer import chunked
from stlm.data.tokenizers.words import SEAM

_BUCKETS = 1 << 16
_HEAD = struct.Struct("<HI")


class Sample:
    """Pieces of text in a file: all that were added, or as many as fit in ``limit_bytes``, those with the least hashes.

    A piece's hash is of its text and ``seed``. Hashes are told apart by two bytes; a first two bytes whose pieces do
    not fit are taken all the same, so that a sample is never empty.
    """

    def __init__(self, file: BinaryIO, limit_bytes: int, seed: int, *, what: str = "the tokenizer's sample") -> None:
        self._file, self._limit, self._key, self._what = file, limit_bytes, str(seed).encode(), what
        self._bytes = np.zeros(_BUCKETS, np.int64)
        self._end = _BUCKETS
        self._kept = 0
        self.total_bytes = 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing had to be left out."""
        return self._end == _BUCKETS

    def add(self, documents: Iterable[Document]) -> None:
        """Read documents, and keep those that are in the sample."""
        for document in documents:
            for piece in pieces_of(mended_document(document)):
                self._add(piece.encode())
        if self._kept > self._limit:
            self._drop()

    def _add(self, piece: bytes) -> None:
        bucket = int.from_bytes(hashlib.blake2b(piece, digest_size=2, key=self._key).digest(), "big")
        self.total_bytes += len(piece)
        if bucket >= self._end:
            return
        with reported_as(f"cannot write {self._what}"):
            self._file.write(_HEAD.pack(bucket, len(piece)) + piece)
        self._bytes[bucket] += len(piece)
        self._kept += len(piece)
        if self._kept > self._limit * 1.25:  # not at every piece beyond the limit
            self._drop()

    def _drop(self) -> None:
        """Leave out the greatest hashes, until the rest fits."""
        sums = np.cumsum(self._bytes[: self._end])
        fitting = int(np.searchsorted(sums, self._limit, side="right"))
        self._end = max(fitting, int(np.flatnonzero(sums)[0]) + 1)
        self._kept = int(sums[self._end - 1])

    def pieces(self) -> Iterator[str]:
        """Give the sample's texts."""
        with reported_as(f"cannot write {self._what}"):
            self._file.seek(0)  # which writes what is still in the buffer
        while head := self._file.read(_HEAD.size):
            bucket, length = _HEAD.unpack(head)
            piece = self._file.read(length)
            if bucket < self._end:
                yield piece.decode()


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[BinaryIO]:
    """Give a file without a name, for as long as the block lasts. Raises `WorkError` where the folder has no room."""
    with reported_as(f"cannot write `{folder}`"):
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed below
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):  # what is still in its buffer is wanted no more
            file.close()


def pieces_of(document: Document) -> Iterator[str]:
    """Cut a long document where no word is cut; a short one stays whole."""
    if isinstance(document, str | Example):
        yield from chunked(document if isinstance(document, str) else document.text, SEAM)
        return
    rest = ""
    for piece in document.pieces():
        *whole, rest = chunked(rest + piece, SEAM)
        yield from whole
    yield rest
