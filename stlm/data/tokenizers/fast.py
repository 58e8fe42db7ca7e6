"""The fast encoder: gigatoken, where it is installed and gives the very ids of a tokenizer.

The tokenizer itself stays the truth. Here the two are compared once, on texts that are hard to cut into words; whoever
encodes much compares samples of that too.
"""

import contextlib
import json
import logging
import resource
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stlm.components.tokenizer.bpe import SIMPLE_ALPHABET
from stlm.data.interrupts import postponed
from stlm.data.tokenizers.convert import NoFormError, to_huggingface
from stlm.data.tokenizers.huggingface import byte_characters, failing_as
from stlm.data.tokenizers.tiktoken_tokenizer import TiktokenTokenizer
from stlm.data.tokenizers.tokenizer import Packed, Tokenizer, encode_packed, packed
from stlm.data.tokenizers.words import OTHER_SPELLINGS, simplifies
from stlm.spec.errors import WorkError

_log = logging.getLogger(__name__)
_CONTROLS = bytes(byte for byte in range(0x80) if chr(byte) not in SIMPLE_ALPHABET)
_SAMPLED_TOKENS = 2000
_HARD_TEXTS = (
    *("", " ", "\n", "  \n\n  \t x ", "a\r\nb\r\n\r\n", "\r", "x\t\ty  z   ", "trailing   ", "\n\n\nthree"),
    *("it's IT'S 'll 'LL I've we'RE don't 'tis '' ſ'ſ 'S", " 1  22   333", "2026 12345678 3.14 1,000 a1b2"),
    *("²³½ Ⅷ ٣٤ １２", "naïve café", "nai\u0308ve cafe\u0301 \u0301x", "ø ß ł ﬁ ＡＢ", "東京 は日本 한국어 ไทย"),
    *("Привет Ελλάδα עברית العربية", "🙂 👩\u200d👩\u200d👧 🇩🇪 ☺\ufe0f", "“quotes” — … ’s 'x", "\ufffd"),
    *("\x00 \x01\x1c\x1d\x7f\x85\xa0\u2003\u2028\u200b\ufeff\u3000x", "</s><s><unk> [CLS] [MASK]"),
    *("<0x41>▁a ▁▁b", "CamelCase snake_case KEBAB-case XMLHttp", "http://a.b/c?d=e&f#g", "/*!!!*/\n", "end.\n\n/"),
    *("  ".join("a0123456789b"), "x" * 3000, "ab" * 2000, " " * 3000 + "y", "-" * 3000, "9" * 3000, "é" * 1000),
)

_BLANKS = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
_FIRST_BLANK = {"type": "Replace", "pattern": {"Regex": "\\A▁"}, "content": "▁▁"}
_METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}
_PREPENDED = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, _BLANKS]}


class FastEncoder:
    """gigatoken with the vocabulary and the rules of one tokenizer, on the calling thread alone.

    ``simplify`` stands for our own normalizer, which gigatoken does not know. It remembers every word that it has seen,
    and forgets none; so it is made anew when it has grown by ``memory_bytes``.
    """

    def __init__(self, description: str, simplify: bool, memory_bytes: int = 256 << 20) -> None:
        self._made_of = (description, simplify, memory_bytes)
        self._description, self._simplify, self._memory_bytes = self._made_of
        self._engine, self._grown = self._new_engine(), 0
        self.name = engine_name()

    def _new_engine(self) -> Any:
        gigatoken = _imported()
        with failing_as(f"{engine_name()} does not know this tokenizer"):
            return gigatoken.Tokenizer.from_json(self._description)

    def __reduce__(self) -> tuple[Any, ...]:
        return FastEncoder, self._made_of

    def encode_packed(self, texts: list[str], utf8: list[bytes] | None = None) -> Packed:
        """Encode the texts into one array of ids and one of lengths; who has them in UTF-8 already saves that work.

        They hold no halves of characters.
        """
        if self._simplify:
            inputs = [_simplified(text) for text in texts]
        else:
            inputs = [text.encode() for text in texts] if utf8 is None else utf8
        if self._grown > self._memory_bytes:
            self._engine = None  # before there is another one
            self._engine, self._grown = self._new_engine(), 0
        before = _resident_bytes()
        with failing_as("the fast encoder cannot encode this text"):
            rows = self._engine.encode_batch(inputs, parallel=False)
        self._grown += max(_resident_bytes() - before, 0)
        if isinstance(rows, list):  # where awkward, its own package of ragged arrays, does not work with this NumPy
            return packed(rows)
        offsets = rows.layout.offsets.data
        return rows.layout.content.data[offsets[0] : offsets[-1]], np.diff(offsets)


def _imported() -> Any:
    """Import gigatoken, and awkward, which it would import when it first encodes, and go on where that is cut short."""
    with postponed():
        import gigatoken

        with contextlib.suppress(Exception):  # it does without
            import awkward  # noqa: F401
    return gigatoken


def engine_name() -> str:
    """Name the engine and its version; the version may change what it knows."""
    from importlib.metadata import version

    return f"gigatoken {version('gigatoken')}"


def fast_encoder(tokenizer: Tokenizer) -> FastEncoder | None:
    """Make the fast encoder of a tokenizer; None where there is none, for a reason that the log tells."""
    try:
        _imported()
    except ImportError:
        _log.info("gigatoken is not installed (`stlm[fast]`), so the tokenizer itself encodes")
        return None
    try:
        description = to_huggingface(tokenizer).description()
    except NoFormError as error:
        _log.info("the tokenizer itself encodes: %s", error)
        return None
    told, texts = _told_to_gigatoken(tokenizer, description), _texts_of_tokens(tokenizer, description["added_tokens"])
    try:
        encoder = FastEncoder(*told)
        differing = _first_difference(tokenizer, encoder, [*_HARD_TEXTS, *texts])
    except WorkError as error:  # what gigatoken refuses, or a text that one of the two cannot encode
        _log.info("the tokenizer itself encodes: %s", error)
        return None
    if differing is not None:
        _log.info("the tokenizer itself encodes: %s gives other ids for %r", encoder.name, differing[:40])
        return None
    return encoder


def _told_to_gigatoken(tokenizer: Tokenizer, description: dict[str, Any]) -> tuple[str, bool]:
    """Say a `tokenizer.json` as gigatoken understands it, and whether texts must be simplified before."""
    described = description | {"post_processor": None, "truncation": None, "padding": None}
    # The name of a special token is text when it stands in a text.
    described["added_tokens"] = [token for token in described["added_tokens"] if not token["special"]]
    if isinstance(tokenizer, TiktokenTokenizer):
        pattern = OTHER_SPELLINGS.get(tokenizer.pattern, tokenizer.pattern)
        described["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": pattern}
    if _begins_with_a_blank(described):
        described["normalizer"] = _PREPENDED
        described["pre_tokenizer"] = None
    simplify = simplifies(described)
    if simplify:
        _describe_simplified(described)
    return json.dumps(described), simplify


def _begins_with_a_blank(described: dict[str, Any]) -> bool:
    """Whether transformers has converted it from a sentencepiece model that puts a blank before every text.

    It says so in two parts (one for texts that begin with a blank, one for others) where `_PREPENDED` takes one.
    """
    parts = (described["normalizer"] or {}).get("normalizers"), (described["pre_tokenizer"] or {}).get("pretokenizers")
    return parts == ([_BLANKS, _FIRST_BLANK], [_METASPACE])


def _describe_simplified(described: dict[str, Any]) -> None:
    """Leave out the normalizer, and say otherwise that a digit is a word: an added token is taken out before words are.

    gigatoken wants a token for every byte, so those that never come are given ids beyond the vocabulary.
    """
    vocab = described["model"]["vocab"]
    for character in byte_characters():
        vocab.setdefault(character, len(vocab))
    described["normalizer"] = None
    described["pre_tokenizer"] = described["pre_tokenizer"]["pretokenizers"][-1]
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    described["added_tokens"] += [{"id": vocab[digit], "content": digit, **plain} for digit in "0123456789"]


def _first_difference(tokenizer: Tokenizer, encoder: FastEncoder, texts: list[str]) -> str | None:
    """Give the first text of which the two make other ids."""
    ours, fast = encode_packed(tokenizer, texts), encoder.encode_packed(texts)
    if all(np.array_equal(a, b) for a, b in zip(ours, fast, strict=True)):
        return None
    ends = [np.split(ids, np.cumsum(lengths)) for ids, lengths in (ours, fast)]
    return next(text for text, a, b in zip(texts, *ends, strict=False) if not np.array_equal(a, b))


def _texts_of_tokens(tokenizer: Tokenizer, named: list[dict[str, Any]]) -> Iterator[str]:
    """Give tokens from all over the vocabulary, and each that has a name, alone and among letters."""
    for token in named[:_SAMPLED_TOKENS]:
        yield from (token["content"], f"a{token['content']}b", f" {token['content']} ")
    for i in range(0, tokenizer.vocab_size, max(tokenizer.vocab_size // _SAMPLED_TOKENS, 1)):
        yield tokenizer.decode([i])


def _resident_bytes() -> int:
    """Measure the memory of this process; where the system does not tell, the most that it ever had."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of macOS, which counts bytes


def _simplified(text: str) -> bytes:
    """Do what our normalizer does: decompose, then keep printable ASCII, newlines and tabs."""
    plain = text if text.isascii() else unicodedata.normalize("NFD", text)
    return plain.encode("ascii", "ignore").translate(None, _CONTROLS)
