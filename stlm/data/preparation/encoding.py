"""Texts to arrays of token ids, as fast as can be had without trusting anybody."""

import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stlm.data.sources.source import Example
from stlm.data.tokenizers.token_bytes import TokenBytes
from stlm.data.tokenizers.tokenizer import encode_packed
from stlm.spec.errors import WorkError

_SAMPLE_DOCUMENTS = 8  # of each batch
_SAMPLE_CHARACTERS = 1 << 18
_SAMPLE_OF_PIECE = 1 << 16
_SEAM_REACH = 1 << 16
_PIECES_TOGETHER = 1 << 20

Ids = NDArray[np.uint32]
Lengths = NDArray[np.int64]


class EngineDiffersError(Exception):
    """The fast engine gave other ids than the tokenizer; the text says for which document."""


class Encoder:
    """A tokenizer at work: by its fast engine, where it has one, and compared with itself as it goes."""

    def __init__(self, tokenizer: Any, fast: Any = None, *, threads: int = 1) -> None:
        self.tokenizer, self.fast, self.threads = tokenizer, fast, threads
        self.name = reference_name(tokenizer) if fast is None else str(fast.name)
        self._bytes_of = TokenBytes(tokenizer)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def encode(self, texts: list[str], utf8: list[bytes] | None = None) -> tuple[Ids, Lengths]:
        """Encode texts: their ids one behind the other, (tokens,), and how many are of each, (texts,).

        ``utf8`` may hold the same texts in UTF-8. Raises `WorkError` for an id outside the vocabulary.
        """
        ids, lengths = self.fast.encode_packed(texts, utf8) if self.fast is not None else self._by_reference(texts)
        if len(ids) and (highest := int(ids.max())) >= self.tokenizer.vocab_size:
            size = self.tokenizer.vocab_size
            raise WorkError(f"the tokenizer gave id {highest}, outside its vocabulary of {size}")
        return ids, lengths

    def _by_reference(self, texts: list[str]) -> tuple[Ids, Lengths]:
        if self._pool is None or len(texts) < 2 * self.threads:
            return encode_packed(self.tokenizer, texts)
        size = -(-len(texts) // (4 * self.threads))
        groups = [texts[i : i + size] for i in range(0, len(texts), size)]
        encoded = list(self._pool.map(lambda group: encode_packed(self.tokenizer, group), groups))
        return np.concatenate([ids for ids, _ in encoded]), np.concatenate([lengths for _, lengths in encoded])

    def encode_long(self, pieces: Iterator[str], place: str) -> Iterator[Ids]:
        """Encode a text that comes in pieces; it is not held whole where the tokenizer knows seams to cut it at.

        The head of each piece is compared. Raises `EngineDiffersError`.
        """
        for piece in at_seams(pieces, getattr(self.tokenizer, "seam", None)):
            self._compare_head(piece, f"a text that begins with {piece[:20]!r} in {place}")
            yield self.encode([piece])[0]

    def check(
        self, texts: Sequence[str], ids: Ids, lengths: Lengths, seed: str, place: str, numbers: Sequence[int]
    ) -> None:
        """Encode a seeded sample of a batch by the tokenizer itself too.

        ``numbers`` are those of the batch's documents within ``place``, from 1. Of documents that are long only the
        head is compared, where the tokenizer knows a seam in it. Raises `EngineDiffersError`.
        """
        if self.fast is None or not texts:
            return
        where = f"{seed} {place} {numbers[0]}".encode("utf-8", "surrogateescape")  # a file's name need not be UTF-8
        chooser, ends, room = random.Random(where), np.cumsum(lengths), _SAMPLE_CHARACTERS
        for number in chooser.sample(range(len(texts)), min(_SAMPLE_DOCUMENTS, len(texts))):
            text, what = texts[number], f"document {numbers[number]} of {place}"
            if len(text) > _SAMPLE_CHARACTERS:
                self._compare_head(text, f"the head of {what}")
            else:
                start = int(ends[number]) - int(lengths[number])
                self._compare(text, ids[start : int(ends[number])], what)
            room -= len(text)
            if room <= 0:
                break

    def _compare_head(self, text: str, what: str) -> None:
        seam = getattr(self.tokenizer, "seam", None)
        head = "" if seam is None else text[: last_seam(text[:_SAMPLE_OF_PIECE], seam)]
        if head:
            self._compare(head, self.encode([head])[0], what)

    def _compare(self, text: str, ids: Ids, what: str) -> None:
        if self.fast is not None and not np.array_equal(encode_packed(self.tokenizer, [text])[0], ids):
            truth = reference_name(self.tokenizer)
            raise EngineDiffersError(f"{what} has other ids by {self.name} than by {truth}")

    def completion_mask(self, examples: Sequence[Example], ids: Ids, lengths: Lengths) -> NDArray[np.uint8]:
        """Mark the tokens of completions, (tokens,): those that hold a byte behind the bytes of the prompt.

        The whole is encoded at once, so a token may hold bytes of both. Where there is no prompt, every token counts.
        """
        prompts, prompt_lengths = self.encode([example.prompt for example in examples])
        prompt_bytes = np.zeros(len(examples), dtype=np.int64)
        there = prompt_lengths > 0
        prompt_bytes[there] = self._bytes_read(prompts, prompt_lengths)[np.cumsum(prompt_lengths)[there] - 1]
        until = np.repeat(prompt_bytes, lengths)
        counts = (self._bytes_read(ids, lengths) > until) | (until == 0)
        return counts.astype(np.uint8)

    def _bytes_read(self, ids: Ids, lengths: Lengths) -> NDArray[np.int64]:
        """Count the bytes of each token and of those before it in its text, (tokens,)."""
        starts = (np.cumsum(lengths) - lengths)[lengths > 0]
        before = np.roll(ids, 1)
        before[starts] = self.tokenizer.eot_id
        read = np.cumsum(self._bytes_of(ids, before))
        earlier = np.where(starts > 0, read[starts - 1], 0)
        return read - np.repeat(earlier, lengths[lengths > 0])


def at_seams(pieces: Iterator[str], seam: Any) -> Iterator[str]:
    """Cut a text that comes in ``pieces`` anew, at seams alone; without seams it is one piece."""
    held: list[str] = []
    for piece in pieces:
        held.append(piece)
        if seam is None or sum(map(len, held)) < _PIECES_TOGETHER:
            continue
        text = "".join(held)
        cut = last_seam(text, seam)
        if cut:
            yield text[:cut]
        held = [text[cut:]]
    if rest := "".join(held):
        yield rest


def last_seam(text: str, seam: Any) -> int:
    """Give where the last seam of a text begins; 0 where it has none."""
    for start in (max(0, len(text) - _SEAM_REACH), 0):
        cut = 0
        for found in seam.finditer(text, start):
            cut = found.start()
        if cut:
            return cut
    return 0


def reference_name(tokenizer: Any) -> str:
    """Name the library that is the truth about a tokenizer."""
    return str(getattr(tokenizer, "library", type(tokenizer).__name__))


def cores() -> int:
    """Count the cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
