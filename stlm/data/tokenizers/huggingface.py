"""Tokenizers of the Hugging Face kind: one `tokenizer.json`, run by the `tokenizers` library."""

import contextlib
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stlm.data.storage import digest_of, read_json, write_file, write_json
from stlm.data.surrogates import mended
from stlm.data.tokenizers.tokenizer import ByteTable, Packed, chunked, packed
from stlm.data.tokenizers.words import seam_of_description
from stlm.spec.errors import WorkError
from stlm.spec.reasons import reason_of

if TYPE_CHECKING:
    import tokenizers


class HuggingFaceTokenizer:
    """A `tokenizers.Tokenizer` that adds nothing at the ends and takes special tokens in a text for text.

    ``vocab_size`` may exceed the number of tokens where a model has rows to spare. ``bos_id`` is the token that the
    files say begins a text, or None; it is none of what is encoded.
    """

    library = "tokenizers"

    def __init__(
        self,
        backend: "tokenizers.Tokenizer",
        *,
        eot: str,
        mask: str | None = None,
        bos: str | None = None,
        vocab_size: int | None = None,
    ) -> None:
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        self._backend = backend
        self._eot, self._mask, self._bos = eot, mask, bos
        self._size = size_of(backend)
        self.vocab_size = vocab_size or self._size
        self.eot_id = self._id_of(eot)
        self.mask_id = self._id_of(mask) if mask else self.eot_id
        self.bos_id = self._id_of(bos) if bos else None

    def __getstate__(self) -> dict[str, Any]:
        named = {"eot": self._eot, "mask": self._mask, "bos": self._bos}
        return {"json": self._backend.to_str(), **named, "vocab_size": self.vocab_size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        import tokenizers

        more = {key: value for key, value in state.items() if key != "json"}
        HuggingFaceTokenizer.__init__(self, tokenizers.Tokenizer.from_str(state["json"]), **more)

    @classmethod
    def from_folder(cls, folder: Path, vocab_size: int) -> "HuggingFaceTokenizer":
        """Load what `save` wrote, for a model of ``vocab_size`` rows. Raises `WorkError` where it is damaged."""
        config = read_side_file(folder / "tokenizer_config.json")
        eot, mask, bos = (special_token(config, role=role) for role in ("eos_token", "mask_token", "bos_token"))
        if eot is None:
            raise WorkError(f"the tokenizer in `{folder}` names no end-of-text token (`eos_token`)")
        return cls(read_backend(folder), eot=eot, mask=mask, bos=bos, vocab_size=vocab_size)

    @cached_property
    def fingerprint(self) -> str:
        """A hash over the whole `tokenizer.json` and the tokens chosen for the end of text and the mask."""
        return f"sha256:{digest_of(self.description(), self.eot_id, self.mask_id)}"

    @cached_property
    def seam(self) -> "re.Pattern[str] | None":
        """Where a text may be cut without changing a token, if that is known."""
        return seam_of_description(self.description())

    @cached_property
    def own_beginning(self) -> tuple[int, ...]:
        """The ids that `tokenizer.json` would put before a text; `encode_batch` leaves them out."""
        plain, whole = (self._backend.encode("a", add_special_tokens=added).ids for added in (False, True))
        first = next((at for at in range(len(whole)) if whole[at : at + len(plain)] == plain), 0)
        return tuple(whole[:first])

    def description(self) -> dict[str, Any]:
        """Give the contents of `tokenizer.json`."""
        described: dict[str, Any] = json.loads(self._backend.to_str())
        return described

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Encode each text, several at a time where the machine has cores.

        Raises `WorkError` where the tokenizer has no token for something and none to stand for it.
        """
        chunks = [list(chunked(mended(text), self.seam)) for text in texts]
        encoded = iter(self._encode([piece for pieces in chunks for piece in pieces]))
        return [list(itertools.chain.from_iterable(itertools.islice(encoded, len(pieces)))) for pieces in chunks]

    def encode_packed(self, texts: list[str]) -> Packed:
        """Encode the texts, one after the other."""
        return packed([self._encode_alone(text) for text in texts])

    def _encode_alone(self, text: str) -> NDArray[np.uint32]:
        ids, _ = packed([self._encode([piece])[0] for piece in chunked(mended(text), self.seam)])
        return ids

    def _encode(self, pieces: list[str]) -> list[list[int]]:
        with failing_as("the tokenizer cannot encode this text"):
            return [encoding.ids for encoding in self._backend.encode_batch_fast(pieces, add_special_tokens=False)]

    def decode(self, ids: Iterable[int]) -> str:
        """Give the text of ``ids``; what is no token, or no whole character, becomes U+FFFD."""
        if self._table is None:
            return self._decode_by_backend(ids)
        return self._table.join(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Give the bytes of ``ids``; of a tokenizer that is not byte-level, those of the decoded text."""
        return self._decode_by_backend(ids).encode() if self._table is None else self._table.join(ids)

    def normalize(self, text: str) -> str:
        """Give what the tokens of ``text`` decode to."""
        return self.decode(self.encode_batch([text])[0])

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json`, and the `tokenizer_config.json` with which transformers loads it too."""
        write_file(folder / "tokenizer.json", self._backend.to_str(pretty=True))  # its own `save` hides what failed
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": self._eot}
        config |= {role: token for role, token in (("mask_token", self._mask), ("bos_token", self._bos)) if token}
        write_json(folder / "tokenizer_config.json", config)

    def _id_of(self, token: str) -> int:
        found = self._backend.token_to_id(token)
        if found is None:
            raise ValueError(f"the tokenizer has no token `{token}`")
        return int(found)

    def _decode_by_backend(self, ids: Iterable[int]) -> str:
        """Decode the stretches of known ids, with U+FFFD for each id between them."""
        out: list[str] = []
        known: list[int] = []
        for i in [*ids, -1]:
            if 0 <= i < self._size:
                known.append(i)
                continue
            out.append(self._backend.decode(known, skip_special_tokens=False) if known else "")
            out.append("\N{REPLACEMENT CHARACTER}")
            known = []
        return "".join(out[:-1])

    @cached_property
    def _table(self) -> ByteTable | None:
        """The bytes of each token where the decoder is byte-level, or sentencepiece's with its bytes; else None."""
        description = self.description()
        decoder = description["decoder"] or {}
        blank = _first_blank(decoder)
        if decoder.get("type") != "ByteLevel" and blank is None:
            return None
        bytes_of = _bytes_of if blank is None else _bytes_of_piece
        added = {entry["id"]: entry["content"] for entry in description["added_tokens"]}
        known: list[bytes | None] = [None] * self._size
        for token, i in self._backend.get_vocab(with_added_tokens=True).items():
            known[i] = added[i].encode() if i in added else bytes_of(token)
        return ByteTable(known, drops_first_blank=bool(blank))


def read_backend(folder: Path) -> "tokenizers.Tokenizer":
    """Read the `tokenizer.json` in a folder; raises `WorkError` where it is none."""
    import tokenizers

    file = folder / "tokenizer.json"
    with failing_as(f"a tokenizer cannot be read from `{file}`"):
        return tokenizers.Tokenizer.from_file(str(file))


def read_side_file(file: Path) -> dict[str, Any]:
    """Read a JSON file beside a `tokenizer.json`, which says what its tokens are for; empty where there is none.

    Raises `WorkError` for one that is damaged: without what it says, texts would begin and end otherwise.
    """
    found = read_json(file)
    if isinstance(found, dict):
        return found
    if not os.path.lexists(file):
        return {}
    raise WorkError(f"`{file}` cannot be read as a JSON mapping")


@contextlib.contextmanager
def failing_as(what: str) -> Iterator[None]:
    """Turn whatever the `tokenizers` library raises, bare exceptions and panics, into a `WorkError` of one line."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # which no module exports
            raise
        if "KeyboardInterrupt" in str(error):  # it fell into Python code that Rust had called, which panicked over it
            raise KeyboardInterrupt from error
        reason = reason_of(error)
        raise WorkError(f"{what}: {reason}") from error


def size_of(backend: "tokenizers.Tokenizer") -> int:
    """Count the ids that a tokenizer can give, gaps included."""
    return int(max(backend.get_vocab(with_added_tokens=True).values(), default=-1)) + 1


def byte_characters() -> dict[str, int]:
    """Map the 256 characters by which a byte-level vocabulary writes bytes (GPT-2's `bytes_to_unicode`) to the bytes.

    Printable Latin-1 characters stand for themselves; the others are moved, in order, to U+0100 and on.
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(0x100 + i): byte for i, byte in enumerate(moved)}


_BYTES = byte_characters()
_CHARACTERS = {byte: character for character, byte in _BYTES.items()}


def _bytes_of(token: str) -> bytes:
    if all(character in _BYTES for character in token):
        return bytes(_BYTES[character] for character in token)
    return token.encode()


def _first_blank(decoder: dict[str, Any]) -> bool | None:
    """Whether a decoder of sentencepiece's kind drops a blank at the head of a text; None for other decoders."""
    steps = decoder.get("decoders", [])
    blank = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    if steps[:3] != [blank, {"type": "ByteFallback"}, {"type": "Fuse"}]:
        return None
    dropped = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    return steps[3:] == [dropped] if steps[3:] in ([], [dropped]) else None


def _bytes_of_piece(piece: str) -> bytes:
    """Give the bytes of a sentencepiece: `<0x0A>` is a byte, and `▁` a blank."""
    if re.fullmatch(r"<0x[0-9A-F]{2}>", piece):
        return bytes.fromhex(piece[3:5])
    return piece.replace("▁", " ").encode()


def text_of(token: bytes) -> str:
    """Write bytes as a byte-level vocabulary does."""
    return token.decode("latin-1").translate(_CHARACTERS)  # whose keys are the bytes, which latin-1 makes code points


def special_token(*configs: Any, role: str) -> str | None:
    """Find the token for ``role`` (`eos_token`) in the JSON files that stand beside a `tokenizer.json`."""
    for config in configs:
        value = (config or {}).get(role)
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            return value
    return None
