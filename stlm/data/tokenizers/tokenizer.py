"""What every tokenizer can do, whoever made it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from stlm.spec.errors import WorkError

Packed = tuple[NDArray[np.uint32], NDArray[np.int64]]
"""The ids of several texts, one behind the other, and how many each has."""

UNKNOWN = "\N{REPLACEMENT CHARACTER}".encode()
_CHUNK_CHARACTERS = 1 << 16


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back. The network sees ids below ``vocab_size`` only.

    ``eot_id`` ends a document; ``mask_id`` stands for a hidden token (the end-of-text token where none is reserved).
    ``fingerprint`` changes whenever the same text could become other ids. It can be pickled, and what is unpickled
    needs neither files nor a network.

    It may have three things more: ``library`` names what encodes (`tiktoken`); ``encode_packed(texts)`` does what the
    function of that name does, in less memory and on the calling thread alone; ``seam`` is a compiled pattern, and
    where it matches, a text may be cut at ``match.start()`` without changing a token.
    """

    @property
    def vocab_size(self) -> int: ...

    @property
    def eot_id(self) -> int: ...

    @property
    def mask_id(self) -> int: ...

    @property
    def fingerprint(self) -> str: ...

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Encode each text; the name of a special token inside a text is text, and nothing is added at the ends."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Give the text of ``ids``; never raises: what is no token, or no whole character, becomes U+FFFD."""
        ...

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Give the UTF-8 bytes that ``ids`` stand for, also where they end inside a character."""
        ...

    def normalize(self, text: str) -> str:
        """Give what of ``text`` the tokens stand for: ``decode(encode(text))``."""
        ...

    def save(self, folder: Path) -> None:
        """Write files from which the component's ``load(folder)`` makes an equal tokenizer, without a network."""
        ...


class ByteTable:
    """The bytes of each token id, for decoding that cannot fail.

    ``known`` holds the bytes by id; a gap (None) and every id outside become U+FFFD. With ``drops_first_blank`` a blank
    at the head of the whole is left out, as by tokenizers that put one before every text.
    """

    def __init__(self, known: list[bytes | None], *, drops_first_blank: bool = False) -> None:
        self._bytes = [UNKNOWN if piece is None else piece for piece in known]
        self._dropped = b" " if drops_first_blank else b""

    def join(self, ids: Iterable[int]) -> bytes:
        """Concatenate the bytes of ``ids``."""
        table, size = self._bytes, len(self._bytes)
        return b"".join(table[i] if 0 <= i < size else UNKNOWN for i in ids).removeprefix(self._dropped)


def check_size(name: str, loaded: int, promised: int) -> None:
    """Refuse a tokenizer whose files hold another number of tokens than the spec was compiled for."""
    if loaded != promised:
        raise WorkError(f"tokenizer `{name}` has {loaded} tokens, but its vocabulary was said to have {promised}")


def encode_packed(tokenizer: Tokenizer, texts: list[str]) -> Packed:
    """Encode texts into one array of ids and one of lengths, by the tokenizer's own way where it has one."""
    own = getattr(tokenizer, "encode_packed", None)
    packed_ids: Packed = own(texts) if own is not None else packed(tokenizer.encode_batch(texts))
    return packed_ids


def packed(encoded: Sequence[Sequence[int] | NDArray[np.uint32]]) -> Packed:
    """Join the ids of each text."""
    arrays = [np.asarray(ids, dtype=np.uint32) for ids in encoded]
    lengths = np.fromiter((len(ids) for ids in arrays), np.int64, len(arrays))
    return (np.concatenate(arrays) if arrays else np.empty(0, np.uint32)), lengths


def chunked(text: str, seam: "re.Pattern[str] | None") -> Iterator[str]:
    """Cut a long text at seams into pieces whose tokens, joined, are those of the whole; without seams it stays one."""
    start = 0
    while (
        seam is not None
        and len(text) - start > _CHUNK_CHARACTERS
        and (cut := seam.search(text, start + _CHUNK_CHARACTERS))
    ):
        yield text[start : cut.start()]
        start = cut.start()
    yield text[start:]
