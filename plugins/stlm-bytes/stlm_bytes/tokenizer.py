"""The tokenizer behind `bytes`."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from stlm.data.storage import read_json, write_json
from stlm.data.surrogates import mended
from stlm.data.tokenizers.tokenizer import ByteTable, Packed
from stlm.spec.errors import WorkError

NUM_BYTES = 256
SPECIAL = ("<|endoftext|>", "<|mask|>")
"""What the ids behind those of the bytes are called, in the order of these ids."""

_FILE = "bytes.json"
_TABLE = ByteTable([*(bytes([value]) for value in range(NUM_BYTES)), *(name.encode() for name in SPECIAL)])


class ByteTokenizer:
    """Texts to their UTF-8 bytes, each a token whose id is its value, and back.

    It loses nothing, so ``normalize`` is the identity, but for halves of surrogate pairs, which UTF-8 cannot say. Any
    sequence of bytes is a sequence of ids, whether it is valid UTF-8 or not: `encode_bytes` and `decode_bytes` are each
    other's inverse.
    Source: Xue et al., 2021 (arXiv:2105.13626); there, three special ids stand before the bytes and not two behind.
    """

    library = "bytes"
    vocab_size = NUM_BYTES + len(SPECIAL)
    eot_id = NUM_BYTES
    mask_id = NUM_BYTES + 1
    fingerprint = f"bytes: 0-{NUM_BYTES - 1}, {', '.join(SPECIAL)}"
    seam = re.compile("[^\ud800-\udfff]")
    """A text may be cut before every character but a half of one."""

    @classmethod
    def from_folder(cls, folder: Path) -> "ByteTokenizer":
        """Load what `save` wrote; raises `WorkError` where that is another tokenizer, or nothing."""
        found = read_json(folder / _FILE)
        if found is None or found.get("fingerprint") != cls.fingerprint:
            raise WorkError(f"there is no tokenizer `bytes` of this kind in `{folder}`")
        return cls()

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Encode each text."""
        return [self.encode_bytes(mended(text).encode()) for text in texts]

    def encode_packed(self, texts: list[str]) -> Packed:
        """Encode the texts into one array, without an integer object for each byte."""
        data = [mended(text).encode() for text in texts]
        lengths = np.fromiter(map(len, data), np.int64, len(data))
        return np.frombuffer(b"".join(data), np.uint8).astype(np.uint32), lengths

    def encode_bytes(self, data: bytes) -> list[int]:
        """Give the ids of any bytes."""
        return list(data)

    def decode(self, ids: Iterable[int]) -> str:
        """Give the text of ``ids``; what is no token, or no whole character, becomes U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Give the bytes of ``ids``."""
        return _TABLE.join(ids)

    def normalize(self, text: str) -> str:
        """Give ``text`` itself."""
        return mended(text)

    def save(self, folder: Path) -> None:
        """Write what tells this tokenizer from others."""
        write_json(folder / _FILE, {"fingerprint": self.fingerprint, "vocab_size": self.vocab_size})
