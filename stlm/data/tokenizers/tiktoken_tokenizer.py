"""OpenAI's tokenizers, through tiktoken."""

import base64
import hashlib
import os
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stlm.data.reach import require_reachable
from stlm.data.storage import read_json, write_json
from stlm.data.surrogates import mended
from stlm.data.tokenizers.tokenizer import ByteTable, Packed, check_size, packed
from stlm.data.tokenizers.words import seam_of_rule
from stlm.spec.errors import WorkError
from stlm.spec.reasons import reason_of

_HOST = "https://openaipublic.blob.core.windows.net"


class TiktokenTokenizer:
    """A tiktoken encoding; it loses nothing of a text, so ``normalize`` is the identity."""

    library = "tiktoken"

    def __init__(self, encoding: Any) -> None:
        self._encoding = encoding
        self.vocab_size: int = encoding.n_vocab
        self.eot_id: int = encoding.eot_token
        self.mask_id: int = self.eot_id
        # tiktoken's documentation reads these three to extend an encoding; there is no public name for them.
        self.pattern: str = encoding._pat_str
        self.ranks: dict[bytes, int] = encoding._mergeable_ranks
        self.special_tokens: dict[str, int] = encoding._special_tokens
        self.name: str = encoding.name
        self.seam = seam_of_rule(self.pattern)

    def __reduce__(self) -> tuple[Any, ...]:
        # tiktoken's own way is a name, which whoever unpickles would have to download
        return _made_of, (self.name, self.pattern, self.ranks, self.special_tokens)

    @classmethod
    def named(cls, name: str, promised_size: int, files: tuple[str, ...]) -> "TiktokenTokenizer":
        """Load one of OpenAI's encodings from tiktoken's cache, or from the network where it is not there.

        ``files`` are those of the encoding on OpenAI's host; by them it is known beforehand whether they are cached.
        """
        import tiktoken

        if not _are_cached(files):
            require_reachable(
                _HOST,
                to_get=f"tokenizer `{name}` must be downloaded once",
                help_text="or set TIKTOKEN_CACHE_DIR to a folder that holds its files",
            )
        try:
            encoding = tiktoken.get_encoding(name)
        except Exception as error:  # requests' errors, or tiktoken's own about a damaged file
            reason = reason_of(error)
            raise WorkError(f"tokenizer `{name}` cannot be loaded: {reason}") from error
        check_size(name, encoding.n_vocab, promised_size)
        return cls(encoding)

    @classmethod
    def from_folder(cls, folder: Path) -> "TiktokenTokenizer":
        """Load what `save` wrote."""
        description = read_json(folder / "tiktoken.json")
        if description is None:
            raise WorkError(f"there is no tokenizer of tiktoken's in `{folder}`")
        ranks: dict[bytes, int] = {}
        for line in (folder / "ranks.tiktoken").read_bytes().splitlines():
            token, rank = line.split()
            ranks[base64.b64decode(token)] = int(rank)
        return _made_of(description["name"], description["pattern"], ranks, description["special_tokens"])

    @cached_property
    def fingerprint(self) -> str:
        """A hash over pattern, ranks and special tokens: all that decides which ids a text becomes."""
        digest = hashlib.sha256(f"{self.pattern}\n{sorted(self.special_tokens.items())}\n".encode())
        for token, rank in sorted(self.ranks.items(), key=lambda item: item[1]):
            digest.update(b"%d %d " % (rank, len(token)) + token)
        return f"sha256:{digest.hexdigest()}"

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Encode each text, several at a time where the machine has cores."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
            return [ids.tolist() for ids in threads.map(self._encode, texts)]

    def encode_packed(self, texts: list[str]) -> Packed:
        """Encode the texts, one after the other."""
        return packed([self._encode(text) for text in texts])

    def _encode(self, text: str) -> NDArray[np.uint32]:
        """Encode as `encode_ordinary` does, which knows no special tokens, but without a list of Python's integers."""
        try:
            ids: NDArray[np.uint32] = self._encoding.encode_to_numpy(
                mended(text), allowed_special=set(), disallowed_special=()
            )
        except ValueError as error:  # its pattern gives up on a million blanks without a break
            reason = reason_of(error, limit=200)
            raise WorkError(
                f"tokenizer `{self.name}` cannot encode a text of {len(text):,} characters: {reason}"
            ) from error
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Give the text of ``ids``; what is no token, or no whole character, becomes U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Give the bytes of ``ids``."""
        return self._table.join(ids)

    def normalize(self, text: str) -> str:
        """Give ``text`` itself."""
        return mended(text)

    def save(self, folder: Path) -> None:
        """Write the ranks in tiktoken's own format, and what else makes up the encoding as JSON."""
        ranked = sorted(self.ranks.items(), key=lambda item: item[1])
        lines = b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for token, rank in ranked)
        (folder / "ranks.tiktoken").write_bytes(lines)
        description = {
            "name": self.name,
            "pattern": self.pattern,
            "special_tokens": self.special_tokens,
        }
        write_json(folder / "tiktoken.json", description)

    @cached_property
    def _table(self) -> ByteTable:
        known: list[bytes | None] = [None] * self.vocab_size  # some encodings have gaps
        for token, rank in self.ranks.items():
            known[rank] = token
        for text, rank in self.special_tokens.items():
            known[rank] = text.encode()
        return ByteTable(known)


def _made_of(name: str, pattern: str, ranks: dict[bytes, int], special_tokens: dict[str, int]) -> TiktokenTokenizer:
    import tiktoken

    return TiktokenTokenizer(
        tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=special_tokens)
    )


def _are_cached(files: tuple[str, ...]) -> bool:
    """Whether tiktoken will find the files of an encoding; it names them by the SHA-1 of their address."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder is None:
        folder = os.path.join(tempfile.gettempdir(), "data-gym-cache")
    names = (hashlib.sha1((_HOST + path).encode()).hexdigest() for path in files)
    return all(os.path.exists(os.path.join(folder, file)) for file in names)
