"""Tokenizers that break a promise."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stlm.registry import component
from tests.testing.faults import caught_by

_numbers = itertools.count()


class Bytes:
    """A good tokenizer: ids 0 to 255 are bytes."""

    vocab_size, eot_id, mask_id, fingerprint = 258, 256, 257, "bytes"

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [list(text.encode()) for text in texts]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        return b"".join(bytes([i]) if 0 <= i < 256 else "\ufffd".encode() for i in ids)

    def decode(self, ids: Iterable[int]) -> str:
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def normalize(self, text: str) -> str:
        return text

    def save(self, folder: Path) -> None:
        pass


def tokenizer(made: type, *, told: int = 258, loaded: Any = None) -> type:
    @component("tokenizer", "broken")
    class Broken:
        """A tokenizer in which something is wrong."""

        vocab_size = told

        def build(self, spec: Any) -> Any:
            return made()

        def load(self, folder: Path) -> Any:
            return (loaded or made)()

    return Broken


@caught_by("vocabulary", "its component says 300 tokens, and its tokenizer has 258")
def tokenizer_that_promises_more_than_it_has() -> type:
    return tokenizer(Bytes, told=300)


@caught_by("round-trip", "comes back as")
def tokenizer_that_loses_capitals() -> type:
    class Lower(Bytes):
        def encode_batch(self, texts: list[str]) -> list[list[int]]:
            return super().encode_batch([text.lower() for text in texts])

    return tokenizer(Lower)


@caught_by("any-id", "raises ValueError")
def tokenizer_that_cannot_decode_a_special_token() -> type:
    class Strict(Bytes):
        def decode_bytes(self, ids: Iterable[int]) -> bytes:
            return bytes(ids)

    return tokenizer(Strict)


@caught_by("special-tokens", "is encoded with the special token 256 in it")
def tokenizer_whose_documents_can_end_themselves() -> type:
    class Ending(Bytes):
        def encode_batch(self, texts: list[str]) -> list[list[int]]:
            return [[256 if c == "\ufffd" else b for c in text for b in c.encode()] for text in texts]

    return tokenizer(Ending)


@caught_by("stored-tokenizer", "stored and read, its `eot_id` is 0, and was 256")
def tokenizer_that_is_read_as_another() -> type:
    class Other(Bytes):
        eot_id = 0

    return tokenizer(Bytes, loaded=Other)


@caught_by("fingerprint", "when it is made again")
def tokenizer_whose_fingerprint_counts() -> type:
    class Counting(Bytes):
        def __init__(self) -> None:
            self.fingerprint = f"bytes-{next(_numbers)}"

    return tokenizer(Counting)


@caught_by("round-trip", "becomes other ids in a batch than alone")
def tokenizer_whose_batches_are_padded() -> type:
    class Padding(Bytes):
        def encode_batch(self, texts: list[str]) -> list[list[int]]:
            found = super().encode_batch(texts)
            longest = max(map(len, found))
            return [ids + [256] * (longest - len(ids)) for ids in found]

    return tokenizer(Padding)


@caught_by("any-id", "say two things")
def tokenizer_whose_bytes_are_not_its_text() -> type:
    class Double(Bytes):
        def decode(self, ids: Iterable[int]) -> str:
            return super().decode(ids).upper()

    return tokenizer(Double)


@caught_by("vocabulary", "its `eot_id` is 300, and its ids are 0 to 257")
def tokenizer_whose_end_is_outside() -> type:
    class Outside(Bytes):
        eot_id = 300

    return tokenizer(Outside)


@caught_by("round-trip", "has an id that is not in the vocabulary")
def tokenizer_that_begins_with_an_id_too_many() -> type:
    class Beginning(Bytes):
        def encode_batch(self, texts: list[str]) -> list[list[int]]:
            return [[258, *ids] for ids in super().encode_batch(texts)]

        def decode_bytes(self, ids: Iterable[int]) -> bytes:
            return super().decode_bytes(i for i in ids if i != 258)

    return tokenizer(Beginning)


@caught_by("round-trip", "is normalized otherwise a second time")
def tokenizer_that_trims_a_letter_each_time() -> type:
    class Trimming(Bytes):
        def encode_batch(self, texts: list[str]) -> list[list[int]]:
            return super().encode_batch([self.normalize(text) for text in texts])

        def normalize(self, text: str) -> str:
            return text[1:]

    return tokenizer(Trimming)


@caught_by("round-trip", "' ' becomes ['32'], which are no integers")
def tokenizer_of_texts() -> type:
    class Texts(Bytes):
        def encode_batch(self, texts: list[str]) -> list[Any]:
            return [[str(i) for i in ids] for ids in super().encode_batch(texts)]

    return tokenizer(Texts)


@caught_by("acts", "what it builds has no `normalize`; is it `normalise`?")
def tokenizer_that_is_british() -> type:
    class British:
        vocab_size, eot_id, mask_id, fingerprint = 258, 256, 257, "bytes"
        encode_batch, decode, decode_bytes, save = Bytes.encode_batch, Bytes.decode, Bytes.decode_bytes, Bytes.save

        def normalise(self, text: str) -> str:
            return text

    return tokenizer(British)


@caught_by("stored-tokenizer", "what its `load` gives, NoneType, has no `encode_batch`")
def tokenizer_that_is_not_given_back() -> type:
    return tokenizer(Bytes, loaded=lambda: None)


@caught_by("special-tokens", "does not come back")
def tokenizer_that_loses_the_name_of_a_special_token() -> type:
    class Losing(Bytes):
        def encode_batch(self, texts: list[str]) -> list[list[int]]:
            return super().encode_batch([text.replace("\ufffd b", " b") for text in texts])

    return tokenizer(Losing)


@caught_by("stored-tokenizer", "stored and read, it encodes otherwise")
def tokenizer_that_is_read_in_capitals() -> type:
    class Capitals(Bytes):
        def encode_batch(self, texts: list[str]) -> list[list[int]]:
            return super().encode_batch([text.upper() for text in texts])

    return tokenizer(Bytes, loaded=Capitals)


@caught_by("fingerprint", "its fingerprint is 258")
def tokenizer_whose_fingerprint_is_a_number() -> type:
    class Numbered(Bytes):
        fingerprint = 258

    return tokenizer(Numbered)
