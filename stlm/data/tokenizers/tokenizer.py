"""What every tokenizer can do, whoever made it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

from stlm.spec.errors import WorkError

UNKNOWN = "\N{REPLACEMENT CHARACTER}".encode()


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back. The network sees ids below ``vocab_size`` only.

    ``eot_id`` ends a document; ``mask_id`` stands for a hidden token (the end-of-text token where none is reserved).
    ``fingerprint`` changes whenever the same text could become other ids.
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

    ``known`` holds the bytes by id; a gap (None) and every id outside become U+FFFD.
    """

    def __init__(self, known: list[bytes | None]) -> None:
        self._bytes = [UNKNOWN if piece is None else piece for piece in known]

    def join(self, ids: Iterable[int]) -> bytes:
        """Concatenate the bytes of ``ids``."""
        table, size = self._bytes, len(self._bytes)
        return b"".join(table[i] if 0 <= i < size else UNKNOWN for i in ids)


def check_size(name: str, loaded: int, promised: int) -> None:
    """Refuse a tokenizer whose files hold another number of tokens than the spec was compiled for."""
    if loaded != promised:
        raise WorkError(f"tokenizer `{name}` has {loaded} tokens, but its vocabulary was said to have {promised}")
